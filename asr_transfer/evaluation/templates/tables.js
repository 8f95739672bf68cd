"use strict";
// Sorts the tables of every report.
(() => {
  const collator = new Intl.Collator(undefined, { numeric: true });
  document.documentElement.classList.add("scripted");

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, heads, column));
    });
  }

  function sort(table, heads, column) {
    const numeric = !heads[column].classList.contains("text");
    const before = heads[column].getAttribute("aria-sort");
    const direction = before === "ascending" ? -1 : 1;
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [row.cells[column].dataset.value ?? row.cells[column].textContent, row]);
    keyed.sort(([first], [second]) => {
      if (!numeric) return direction * collator.compare(first.trim(), second.trim());
      // What has no value stays last in both directions.
      if (first === "" || second === "") return (first === "") - (second === "");
      return direction * (Number(first) - Number(second));
    });
    body.append(...keyed.map(([, row]) => row));
  }
})();
