"use strict";
// An element; what comes out of data gets into a page by this way only, as text.
const make = (tag, kind, text) => {
  const found = document.createElement(tag);
  if (kind) found.className = kind;
  if (text !== undefined && text !== null) found.textContent = text;
  return found;
};

// Light or dark: as the reader's machine has it, until the button is pressed.
(() => {
  const root = document.documentElement;
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("lmms-fast-theme", value);
      return localStorage.getItem("lmms-fast-theme");
    } catch { // some browsers keep nothing for files
      return value;
    }
  };
  const choose = (theme) => { if (theme === "light" || theme === "dark") root.dataset.theme = theme; };
  choose(remembered());
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    choose(dark ? "light" : "dark");
    remembered(root.dataset.theme);
  });
})();
