// Keeps the page up to date: hears the station's stream, and makes each region equal to the HTML it is sent.
// The HTML is rendered and escaped by the station. It is parsed into a document of its own, where nothing runs,
// and only elements, attributes and text that differ are carried over, so focus and scrolling stay where they are.

const SILENCE_MS = 25_000; // the station is never silent for more than 10 s
const BANNER_DELAY_MS = 3_000; // a reconnection that is faster needs no banner
const AGAIN_MS = 3_000;

const regions = Object.fromEntries(["notices", "sessions", "units"].map((id) => [id, document.getElementById(id)]));
const live = document.getElementById("live");
const liveWord = document.getElementById("live-word");
const lost = document.getElementById("lost");
const announcer = document.getElementById("announcer");
const title = document.title;

// The one door through which a string becomes HTML; the page's Content-Security-Policy admits no other.
const policy = window.trustedTypes?.createPolicy("station", { createHTML: (html) => html }) ?? {
  createHTML: (html) => html,
};

let source = null;
let asset_version = null;
let silence = 0;
let bannerTimer = 0;
let again = 0;

function listen() {
  clearTimeout(again);
  source?.close();
  source = new EventSource(`/events${location.search}`);
  for (const name of Object.keys(regions)) {
    source.addEventListener(name, (event) => {
      heard();
      show(regions[name], event.data);
      if (name === "sessions") retitle();
    });
  }
  source.addEventListener("pulse", heard);
  source.addEventListener("asset_version", (event) => {
    if (asset_version !== null && asset_version !== event.data) location.reload(); // the station was updated
    asset_version = event.data;
    heard();
  });
  source.addEventListener("error", () => {
    missed();
    // Refused, or ended for good: the browser does not try again by itself.
    if (source.readyState === EventSource.CLOSED) again = setTimeout(listen, AGAIN_MS);
  });
  watch();
}

function watch() {
  clearTimeout(silence);
  silence = setTimeout(() => {
    missed();
    listen();
  }, SILENCE_MS);
}

function heard() {
  clearTimeout(bannerTimer);
  bannerTimer = 0;
  watch();
  live.hidden = false;
  live.classList.remove("gone");
  liveWord.textContent = "Live";
  lost.hidden = true;
  lost.textContent = "";
  document.body.classList.remove("stale");
}

function missed() {
  bannerTimer ||= setTimeout(() => {
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    live.hidden = false;
    live.classList.add("gone");
    liveWord.textContent = "Not connected";
    lost.textContent = `Connection to the station lost at ${time}. What is shown may be out of date; trying again.`;
    lost.hidden = false;
    document.body.classList.add("stale");
  }, BANNER_DELAY_MS);
}

function show(region, html) {
  const before = states(region);
  const parsed = new DOMParser().parseFromString(policy.createHTML(html), "text/html");
  conform(region, parsed.body);
  const news = [...states(region)].filter(([id, { state }]) => state !== before.get(id)?.state);
  const said = news.filter(([, { state }]) => state === "done" || state === "failed");
  if (before.size && said.length) announcer.textContent = said.map(([, { text }]) => text).join(" ");
}

function states(region) {
  const ports = [...region.querySelectorAll("[data-state]")];
  return new Map(ports.map((port) => [port.id, { state: port.dataset.state, text: port.dataset.announcement }]));
}

function retitle() {
  const summary = regions.sessions.querySelector("[data-summary]")?.dataset.summary;
  document.title = summary ? `${summary} · ${title}` : title;
}

// Make `present` have the children that `wanted` has; those with an id are recognised wherever they stand.
function conform(present, wanted) {
  const known = new Map([...present.children].filter((child) => child.id).map((child) => [child.id, child]));
  let next = present.firstChild;
  for (const child of [...wanted.childNodes]) {
    const match = child.id ? known.get(child.id) : alike(next, child) ? next : null;
    if (!match) {
      present.insertBefore(document.importNode(child, true), next);
      continue;
    }
    if (match === next) next = next.nextSibling;
    else present.insertBefore(match, next);
    if (match.nodeType === Node.TEXT_NODE) {
      if (match.data !== child.data) match.data = child.data;
    } else if (!match.isEqualNode(child)) {
      copyInto(match, child);
      conform(match, child);
    }
  }
  while (next) {
    const rest = next.nextSibling;
    next.remove();
    next = rest;
  }
}

function alike(present, wanted) {
  return present && !present.id && present.nodeName === wanted.nodeName;
}

function copyInto(present, wanted) {
  for (const { name } of [...present.attributes]) if (!wanted.hasAttribute(name)) present.removeAttribute(name);
  for (const { name, value } of [...wanted.attributes]) {
    if (present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
}

// A page that nobody sees does not listen: browsers allow a host six connections over all their tabs.
function attend() {
  if (document.hidden) {
    source?.close();
    source = null;
    for (const timer of [silence, bannerTimer, again]) clearTimeout(timer);
    bannerTimer = 0;
  } else if (source === null) {
    listen();
  }
}

document.addEventListener("visibilitychange", attend);
retitle();
attend();
