// Makes a page live: when the server tells that it has changed, it is got anew, and its parts that differ are
// put in place of the old ones. Without this script all works, but one reloads by hand.
"use strict";
(() => {
  const status = document.getElementById("live");
  if (status === null || !("EventSource" in window)) return;

  const markup = new Map(); // of each part as the server sent it: what is open or has focus makes no difference
  const parts = (page) => page.querySelectorAll("[data-part]");
  for (const part of parts(document)) markup.set(part.id, part.outerHTML);

  let mark = status.dataset.mark;
  let events = null;
  let isOver = false;
  let again = 0;

  const say = (text) => {
    if (status.textContent !== text) status.textContent = text;
  };

  const replace = (old, fresh) => {
    const open = [...old.querySelectorAll("details[open]")].map((each) => each.id);
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const here = document.importNode(fresh, true);
    for (const id of open) {
      const details = here.querySelector(`#${CSS.escape(id)}`);
      if (details !== null) details.open = true;
    }
    old.replaceWith(here);
    if (focused !== "") document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const update = async () => {
    const response = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
    if (!response.ok) throw new Error(String(response.status));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("live");
    if (fresh === null) throw new Error("another page");
    for (const part of parts(page)) {
      const old = document.getElementById(part.id);
      if (old === null || markup.get(part.id) === part.outerHTML) continue;
      markup.set(part.id, part.outerHTML);
      replace(old, part);
    }
    document.title = page.title;
    mark = fresh.dataset.mark;
  };

  const stop = () => {
    clearTimeout(again);
    if (events !== null) events.close();
    events = null;
  };

  const retry = () => {
    stop();
    say("no connection; the page may be out of date");
    again = setTimeout(listen, 5000);
  };

  let going = Promise.resolve(); // one update after the other
  const changed = (event) => {
    going = going.then(async () => {
      if (event.data === mark) return;
      await update();
      say(isOver ? "" : "live");
    }).catch(retry);
  };

  const listen = () => {
    stop();
    if (isOver || document.hidden) return; // a browser has few connections to a server: hidden pages give theirs back
    events = new EventSource(status.dataset.live);
    events.onopen = () => say("live");
    events.onerror = retry;
    events.addEventListener("changed", changed);
    events.addEventListener("trouble", () => say("the runs cannot be read just now"));
    events.addEventListener("end", () => {
      isOver = true;
      stop();
      going.then(() => say(""));
    });
  };

  document.addEventListener("visibilitychange", listen);
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) listen();
  });
  listen();
})();
