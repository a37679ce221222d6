// Updates the page: listens to the station's stream, and makes each region equal to the HTML that it sends.
// The station renders and escapes the HTML. The browser parses it into a separate document, where nothing runs, and
// only elements, attributes and text that differ are copied, so focus and scrolling stay as they are.

const SILENCE_MS = 25_000; // the station sends something every 10 s
const BANNER_DELAY_MS = 3_000; // no banner for a faster reconnection
const AGAIN_MS = 3_000;

const regions = Object.fromEntries(["notices", "sessions", "units"].map((id) => [id, document.getElementById(id)]));
const live = document.getElementById("live");
const liveWord = document.getElementById("live-word");
const lost = document.getElementById("lost");
const announcer = document.getElementById("announcer");
const title = document.title;

// The only function that makes HTML of a string; the Content-Security-Policy forbids any other.
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
    // Refused or closed: the browser does not reconnect by itself.
    if (source.readyState !== EventSource.CLOSED) return;
    again = setTimeout(listen, AGAIN_MS);
    leaveIfClosed();
  });
  watch();
}

// A session that has ended, as at a restart of the station, shows the way in again.
async function leaveIfClosed() {
  try {
    const answer = await fetch("/", { method: "HEAD", redirect: "manual", headers: { Accept: "text/html" } });
    if (answer.type === "opaqueredirect") location.reload();
  } catch {
    // The station is away: the banner says so, and listen() tries again.
  }
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
  const said = news.filter(([, { state }]) => ["done", "failed", "not-ready"].includes(state));
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

// Make `present` have the children that `wanted` has; those with an id are recognised in any place.
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
      copyAttributes(match, child);
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

function copyAttributes(present, wanted) {
  for (const { name } of [...present.attributes]) if (!wanted.hasAttribute(name)) present.removeAttribute(name);
  for (const { name, value } of [...wanted.attributes]) {
    if (present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
}

// A hidden page does not listen: browsers allow a host six connections over all tabs.
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
