"use strict";
// Keeps the page fresh without a reload, so that a selection, the place and the focus stay; says when the daemon is
// gone; copies a block; shows local time beside UTC. Without it the page is whole all the same, and reloads itself.
// The answer is parsed by the browser as a document in which no script runs; no text is ever made into markup here.

const EVERY = 10_000;
const PARTS = ["top", "main", "foot"];
const stale = document.getElementById("stale");
let selectedSince = 0;

function selecting() {
  if (getSelection().isCollapsed) selectedSince = 0;
  else selectedSince ||= Date.now();
  return selectedSince && Date.now() - selectedSince < 6 * EVERY; // nobody copies for longer than a minute
}

function asking() {
  return Boolean(document.activeElement?.closest?.("form")); // what somebody is typing stays
}

function children(part) {
  return [...part.children].filter((one) => one.id !== "stale");
}

function show(fresh) {
  const focused = document.activeElement?.id;
  document.title = fresh.title;
  document.documentElement.className = fresh.documentElement.className;
  document.getElementById("icon").href = fresh.getElementById("icon").href;
  for (const one of document.querySelectorAll("details[id][open]")) fresh.getElementById(one.id)?.setAttribute("open", "");
  showLocalTimes(fresh);
  offerCopies(fresh);
  for (const part of PARTS) {
    const [before, after] = [document, fresh].map((page) => children(page.getElementById(part)));
    after.forEach((one, place) => {
      if (!before[place]) document.getElementById(part).append(one);
      else if (!before[place].isEqualNode(one)) before[place].replaceWith(one);
    });
    before.slice(after.length).forEach((one) => one.remove());
  }
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function refresh() {
  if (document.hidden || selecting() || asking()) return;
  const asked = new XMLHttpRequest();
  asked.open("GET", location.pathname + location.search);
  asked.responseType = "document";
  asked.timeout = EVERY;
  asked.onloadend = () => {
    const fresh = asked.status === 200 ? asked.response : null;
    stale.hidden = Boolean(asked.status);
    if (fresh && !selecting() && !asking()) show(fresh);
  };
  asked.send();
}

function showLocalTimes(page) {
  for (const one of page.querySelectorAll("time.stamp")) {
    const moment = new Date(one.dateTime);
    if (!moment.getTimezoneOffset()) continue;
    const local = page.createElement("span");
    local.className = "stamp local";
    local.textContent = ` · ${new Intl.DateTimeFormat(undefined, localForm(moment)).format(moment)}`;
    one.after(local);
  }
}

function localForm(moment) {
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" };
  const sameDay = moment.getDate() === moment.getUTCDate();
  return sameDay ? clock : { month: "short", day: "numeric", ...clock };
}

function offerCopies(page) {
  if (!navigator.clipboard) return; // only where the browser trusts the connection
  for (const button of page.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, EVERY);
showLocalTimes(document);
offerCopies(document);
