// Every page is complete without this script. It shows times in the viewer's zone, with UTC in the title, copies
// bodies, and adds the rows of events that change while a list is open.
"use strict";

function showLocalTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (!Number.isNaN(at.getTime())) {
      element.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  }
}

function addCopyButton(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      const answer = await fetch(button.dataset.copy);
      if (!answer.ok) throw new Error(answer.statusText);
      await navigator.clipboard.writeText(await answer.text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied: use the download";
    }
  });
}

const ROWS_MAX = 200;
const SUMMARY_INTERVAL = 5000;

/** Keeps the first page of a list current. The keyboard focus and the place of the reader stay. */
class LiveList {
  constructor(table) {
    this.body = table.tBodies[0];
    this.url = new URL(table.dataset.stream, location.href);
    this.summary = document.querySelector("p.live");
    this.added = 0;
    this.changed = 0;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    addEventListener("pagehide", () => this.close());
    if (!document.hidden) this.open();
  }

  open() {
    if (this.source || this.hasEnded) return;
    this.source = new EventSource(this.url);
    this.source.addEventListener("row", (message) => this.receive(message, true));
    this.source.addEventListener("change", (message) => this.receive(message, false));
    this.source.addEventListener("more", () => this.say("Many events changed. Open the page again to see all."));
    this.source.addEventListener("end", () => {
      this.hasEnded = true;
      this.close();
      this.say("Your session is over. Sign in again.");
    });
  }

  close() {
    this.source?.close();
    this.source = undefined;
  }

  receive(message, isListed) {
    this.url.searchParams.set("after", message.lastEventId);
    const template = document.createElement("template");
    template.innerHTML = message.data;
    const row = template.content.querySelector("tr");
    if (!row) return;
    showLocalTimes(row);
    const shown = document.getElementById(row.id);
    if (shown) {
      this.replaceCells(shown, row);
      this.changed += 1;
    } else if (isListed) {
      this.insertRow(row);
      this.added += 1;
    }
    this.summaryTimer ??= setTimeout(() => this.summarize(), SUMMARY_INTERVAL);
  }

  /** Boxes and links stay, because they may be chosen or have the focus. */
  replaceCells(shown, row) {
    for (const [index, cell] of [...row.cells].entries()) {
      const old = shown.cells[index];
      if (old && !cell.querySelector("a, input") && old.innerHTML !== cell.innerHTML) old.replaceWith(cell.cloneNode(true));
    }
  }

  insertRow(row) {
    const table = this.body.parentElement;
    const bottom = table.getBoundingClientRect().bottom;
    const hasScrolled = this.body.getBoundingClientRect().top < 0;
    const id = (one) => Number(one.id.replace("event-", ""));
    const next = [...this.body.rows].find((one) => id(one) < id(row));
    this.body.insertBefore(row, next ?? null);
    if (hasScrolled) scrollBy(0, table.getBoundingClientRect().bottom - bottom);
    const last = this.body.rows[this.body.rows.length - 1];
    if (this.body.rows.length > ROWS_MAX && !last.contains(document.activeElement) && !last.querySelector(":checked")) {
      last.remove();
    }
  }

  summarize() {
    this.summaryTimer = undefined;
    const count = (number, what) => `${number} ${number === 1 ? "event" : "events"} ${what}`;
    const parts = [];
    if (this.added) parts.push(count(this.added, "added"));
    if (this.changed) parts.push(count(this.changed, "changed"));
    this.added = this.changed = 0;
    if (parts.length) this.say(`${parts.join(", ")} since the last message.`);
  }

  say(text) {
    if (this.summary) this.summary.textContent = text;
  }
}

showLocalTimes(document);
document.querySelectorAll("button[data-copy]").forEach(addCopyButton);
document.querySelectorAll("table[data-stream]").forEach((table) => new LiveList(table));
