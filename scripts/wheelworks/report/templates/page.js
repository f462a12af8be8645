// Sorts and filters the matrix, switches the theme, and opens the details that a link points to. Without JavaScript the
// page shows everything, unsorted.
const find = document.querySelector("#find"), state = document.querySelector("#state");
const shown = document.querySelector("#shown"), theme = document.querySelector("#theme");
const body = document.querySelector("#matrix tbody"), rows = [...body.rows];
const heads = [...document.querySelectorAll("#matrix thead th")];

function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  for (const row of rows) {
    let some = false;
    for (const wheel of row.querySelectorAll(".wheel")) {
      const fits = words.every((word) => wheel.dataset.text.includes(word)) &&
        (!state.value || wheel.dataset.states.split(" ").includes(state.value));
      wheel.hidden = !fits;
      some ||= fits;
    }
    row.hidden = !some;
    left += some;
  }
  shown.textContent = `${left} of ${rows.length} platforms shown`;
}

function sort(column) {
  const head = heads[column], down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach((one) => one.setAttribute("aria-sort", "none"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => column ? Number(row.cells[column].dataset.size) : row.cells[0].textContent;
  const order = (a, b) => column ? key(a) - key(b) : key(a).localeCompare(key(b), "en");
  body.append(...[...rows].sort((a, b) => down ? order(b, a) : order(a, b)));
}

function paint(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  theme.setAttribute("aria-pressed", String(dark));
}

function open() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.querySelector("summary").focus();
  }
}

const night = matchMedia("(prefers-color-scheme: dark)");
paint(night.matches);
night.addEventListener("change", (event) => paint(event.matches));
theme.addEventListener("click", () => paint(theme.getAttribute("aria-pressed") !== "true"));
find.addEventListener("input", filter);
state.addEventListener("change", filter);
document.querySelector("#filters").addEventListener("submit", (event) => event.preventDefault());
heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
addEventListener("hashchange", open);
document.querySelector("#matrix").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link && link.hash === location.hash) { // following the same link again fires no hashchange event
    event.preventDefault();
    open();
  }
});
open();
filter();
