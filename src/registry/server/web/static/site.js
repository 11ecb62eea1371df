// What the pages can do better with a script. Everything that matters works without this file.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const stored = {
  get(storage, key) { try { return window[storage].getItem(key); } catch { return null; } },
  set(storage, key, value) { try { window[storage].setItem(key, value); } catch { /* refused: not remembered */ } },
};

// Light or dark: the system's choice until somebody chooses.
const toggle = $("[data-theme-toggle]");
const system = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
const nameToggle = () => { $("[data-theme-label]").textContent = theme() === "dark" ? "Switch to light" : "Switch to dark"; };
toggle.hidden = false;
nameToggle();
system.addEventListener("change", nameToggle);
toggle.addEventListener("click", () => {
  const chosen = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  stored.set("localStorage", "theme", chosen);
  nameToggle();
});

// Copy buttons.
const copyText = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // No permission, or a page that does not come from this machine over https.
    const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
};
for (const button of $$("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const label = $("[data-copy-label]", button);
    const done = await copyText(document.getElementById(button.dataset.copy).textContent);
    button.focus();
    label.textContent = done ? "Copied" : "Not copied";
    button.classList.toggle("is-copied", done);
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { label.textContent = "Copy"; button.classList.remove("is-copied"); }, 2000);
  });
}

// Languages by their names beside their tags.
const nameLanguages = () => {
  const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });
  for (const option of $$("[data-languages] option[value]")) {
    if (!option.value || option.dataset.named) continue;
    option.dataset.named = "yes";
    try {
      const name = names.of(option.value);
      if (name) option.textContent = `${name} – ${option.textContent.trim()}`;
    } catch { /* no tag that is known */ }
  }
};
nameLanguages();

// Models to compare, remembered from page to page of the list.
const MOST = 4;
const picks = () => { try { return JSON.parse(stored.get("sessionStorage", "compare") ?? "[]"); } catch { return []; } };
const showPicks = () => {
  const form = $("[data-compare]");
  if (!form) return;
  const chosen = picks();
  for (const box of $$("input[name=model]", form)) {
    box.checked = chosen.includes(box.value);
    box.disabled = !box.checked && chosen.length >= MOST;
  }
  $("[data-compare-bar]").classList.toggle("has-picks", chosen.length > 0);
  $("[data-compare-bar]").classList.toggle("is-idle", !chosen.length);
  $("[data-compare-button]").disabled = chosen.length < 2;
  $("[data-compare-text]").textContent = chosen.length
    ? `${chosen.join(", ")}${chosen.length === 1 ? ": tick another to compare." : chosen.length === MOST ? ": four is the most." : ""}`
    : "Tick two to four models to see them side by side.";
};
document.addEventListener("change", ({ target }) => {
  if (!target.matches("[data-compare] input[name=model]")) return;
  const others = picks().filter((name) => name !== target.value);
  stored.set("sessionStorage", "compare", JSON.stringify(target.checked ? [...others, target.value] : others));
  showPicks();
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-compare]") || picks().length < 2) return;
  event.preventDefault();
  const chosen = picks();
  stored.set("sessionStorage", "compare", "[]");
  location.assign(`/compare?${new URLSearchParams(chosen.map((name) => ["model", name]))}`);
});
addEventListener("pageshow", showPicks);
showPicks();

// The list follows what is typed and chosen; the address follows the list.
const find = $("[data-find]");
let asking = null;
let shown = location.pathname + location.search;
const addressOf = (form) => {
  const pairs = [...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
  return pairs.length ? `/?${new URLSearchParams(pairs)}` : "/";
};
const show = async (address, { whole = false } = {}) => {
  asking?.abort();
  const mine = (asking = new AbortController());
  $("[data-results]").classList.add("is-loading");
  try {
    const answer = await fetch(address, { signal: mine.signal, headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = whole ? "main" : "[data-results]";
    if (!answer.ok || !$(part, page)) return location.assign(address);
    $(part).replaceWith($(part, page));
    document.title = page.title;
    if (whole) begin();
    showPicks();
  } catch (error) {
    if (error.name !== "AbortError") location.assign(address);
  }
};
const begin = () => {
  const form = $("[data-find]");
  let timer;
  const follow = (remember) => {
    clearTimeout(timer);
    const address = addressOf(form);
    if (address === location.pathname + location.search) return;
    history[remember](null, "", address);
    shown = address;
    show(address);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    follow("pushState");
  });
  form.addEventListener("change", (event) => { if (event.target.name !== "search") follow("pushState"); });
  // The first letter makes a step to go back over; those that follow belong to it.
  let typing = false;
  $("#search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { follow(typing ? "replaceState" : "pushState"); typing = true; }, 200);
  });
  $("#search").addEventListener("blur", () => { typing = false; });
  nameLanguages();
};
if (find) {
  begin();
  addEventListener("popstate", () => {
    const address = location.pathname + location.search;
    if (address === shown) return; // a step within the page, such as the skip link's
    shown = address;
    show(address, { whole: true });
  });
}

// `/` goes to the search, as in many tools.
document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key !== "/" || busy || event.ctrlKey || event.metaKey || event.altKey || !$("#search")) return;
  event.preventDefault();
  $("#search").focus();
  $("#search").select();
});
