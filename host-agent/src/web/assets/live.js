// Keeps an open page up to date. Every page is whole without it.
"use strict";
(() => {
  const { live, subject } = document.body.dataset;
  const state = document.getElementById("live-state");

  // A one-time link was followed: sign in at once.
  document.querySelector("form[data-submit]")?.requestSubmit();

  const words = (seconds) => {
    if (seconds < 2) return "now";
    if (seconds < 120) return `${seconds} s`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  };
  // The server's clock counts: times are as old as they were when the page came, and so much older since.
  const age = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const seconds = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (!time.dataset.fixed) time.textContent = words(Math.max(0, seconds));
    }
  };
  setInterval(age, 10000);

  if (!live || !window.EventSource) return;

  const tell = (text, good) => {
    if (!state) return;
    state.hidden = false;
    if (state.textContent !== text) state.textContent = text;
    state.classList.toggle("good", good);
  };

  const element = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };

  const isBusy = () => {
    const active = document.activeElement;
    return active && active.closest("main") && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName);
  };

  // Swaps an element for its newer self; who stood on a link in it stands there again.
  const swap = (old, fresh) => {
    const active = document.activeElement;
    const link = old.contains(active) && active.getAttribute("href");
    const id = old.contains(active) && active.id;
    old.replaceWith(fresh);
    const again = id ? document.getElementById(id) : link && fresh.querySelector(`a[href="${CSS.escape(link)}"]`);
    if (again) again.focus({ preventScroll: true });
  };

  // As it came from the server: what is the same is left alone. Empty where rows were swapped since.
  let shown = document.getElementById("main")?.innerHTML;
  let fetching = false, again = false, timer = 0;
  const reload = async () => {
    if (fetching || isBusy()) { again = true; return; }
    fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { "x-firstlight-live": "1" } });
      if (answer.redirected) { location.reload(); return; }
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const [old, fresh] = [document.getElementById("main"), page.getElementById("main")];
        if (old && fresh && fresh.innerHTML !== shown && !isBusy()) {
          shown = fresh.innerHTML;
          const open = [...old.querySelectorAll("details[open][id]")].map((one) => one.id);
          for (const id of open) fresh.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
          swap(old, document.adoptNode(fresh));
        }
      }
    } catch { /* the stream tells when the companion is there again */ }
    fetching = false;
  };
  // At most once a second, however much happens.
  const later = () => {
    if (timer) { again = true; return; }
    reload();
    timer = setTimeout(() => { timer = 0; if (again) { again = false; later(); } }, 1000);
  };

  const news = () => {
    const note = document.getElementById("news");
    if (!note) return;
    note.querySelector("span").textContent = "The list has changed.";
    note.querySelector("a").href = location.href;
    note.hidden = false;
  };

  const rows = (changed) => {
    shown = "";
    for (const [id, html] of Object.entries(changed)) {
      const old = document.getElementById(id);
      if (!old && html) { news(); continue; }
      if (!old) continue;
      if (!html) { old.remove(); continue; }
      const fresh = element(html);
      if (!fresh) continue;
      if (fresh.tagName === "TR") fresh.classList.add("changed");
      swap(old, fresh);
    }
    age();
  };

  const stream = new EventSource("/ui/live");
  stream.addEventListener("open", () => {
    tell("live", true);
    // What happened while nobody listened: since the page was made, too.
    later();
  });
  stream.addEventListener("error", () => tell("not live: reload for news", false));
  stream.addEventListener("reload", later);
  stream.addEventListener("change", (event) => {
    const told = JSON.parse(event.data);
    if (live === "rows") rows(told.rows);
    else if (told.jobs.length && (!subject || told.jobs.includes(subject))) later();
  });
  document.addEventListener("focusout", () => { if (again) { again = false; later(); } });
})();
