"use strict";
const value = (row, column) => row.cells[column].dataset.value ?? "";
function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === ""); // what is not known comes last, whatever the order
  const numbers = !isNaN(a) && !isNaN(b);
  return numbers ? a - b : a.localeCompare(b, undefined, { numeric: true });
}
function sort(header) {
  const table = header.closest("table"), body = table.tBodies[0], column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].sort((one, two) => {
    const a = value(one, column), b = value(two, column), order = compare(a, b);
    return down && a !== "" && b !== "" ? -order : order;
  });
  body.append(...rows);
}
for (const header of document.querySelectorAll("th")) header.firstElementChild.addEventListener("click", () => sort(header));
for (const field of document.querySelectorAll(".filter input")) {
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase().split(/\s+/);
    for (const row of document.getElementById(field.dataset.table).tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word));
    }
  });
}
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => {
    const source = document.getElementById(button.dataset.copy), range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy"); // works in a file that was opened from a disk, too
    button.textContent = "Copied";
  });
}
