// The window of the extension: what this page's transcript says, and search in all episodes. It talks to the library on
// this machine and to nobody else.
import { findTranscript } from "./transcript.js";

const DEFAULT = "http://127.0.0.1:8010/episodes";
const MOST = 3_000_000; // characters of a transcript that are sent
const byId = (id) => document.getElementById(id);
const state = byId("state");
let server = DEFAULT;
let sent = null; // what was found on the page
let episode = null; // the library's id of the episode that the page is about

const make = (tag, className = "", text = "") => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  element.dir = "auto";
  return element;
};
const say = (text, bad = false) => { state.textContent = text; state.classList.toggle("bad", bad); };

// An address on this machine, without a slash at the end; null for any other.
export function local(address) {
  try {
    const url = new URL(address);
    const fits = url.protocol === "http:" && ["127.0.0.1", "localhost"].includes(url.hostname) && !url.username;
    return fits ? url.origin + url.pathname.replace(/\/+$/, "") : null;
  } catch { return null; }
}

async function ask(route, body) {
  let response;
  try {
    response = await fetch(`${server}/api/${route}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), credentials: "omit", redirect: "error",
    });
  } catch {
    throw new Error(`No library answers at ${server}. Start it: whet listen serve`);
  }
  let told = null;
  try { told = await response.json(); } catch { /* said below */ }
  if (!response.ok) throw new Error((told && (told.error?.message || told.error)) || `The server at ${server} has no library (${response.status}).`);
  return told;
}

// A link into the library; whatever answers, it leads to no other place than the server that was asked.
function into(path, className, text) {
  const url = new URL(path, server);
  if (url.origin !== new URL(server).origin) return make("span", className, text);
  const link = make("a", className, text);
  link.href = url.href;
  link.target = "_blank";
  link.rel = "noreferrer";
  return link;
}

// Where something was said: a link, or only the time where the page is not in the library.
const at = (place) => place.page ? into(place.page, "at", place.label || "there") : make("span", "at", place.label);

function line(parent, told) {
  parent.append(told.text);
  for (const place of told.at.slice(0, 3)) if (place.label || place.page) parent.append(at(place));
  return parent;
}

function listed(section, title, items, fill) {
  if (!items.length) return;
  section.append(make("h2", "", title));
  const list = make("ol");
  for (const item of items) { const entry = make("li"); fill(entry, item); list.append(entry); }
  section.append(list);
}

function by(speaker, place, more = "") {
  const footer = make("p", "by");
  if (speaker) footer.append(make("b", "", speaker));
  footer.append(at(place));
  if (more) footer.append(` ${more}`);
  return footer;
}

function show(told) {
  const section = byId("summary");
  section.replaceChildren(make("h1", "", told.title || "This page"));
  for (const each of told.paragraph) section.append(line(make("p"), each));
  if (told.page) {
    const paragraph = make("p");
    paragraph.append(into(told.page, "", "The whole page"));
    section.append(paragraph);
  }
  listed(section, "Takeaways", told.takeaways, line);
  listed(section, "Quotes", told.quotes, (entry, quote) => {
    entry.append(make("blockquote", "", `“${quote.text}”`), by(quote.speaker, quote.at, quote.badges.join(", ")));
  });
  listed(section, "Chapters", told.chapters, (entry, chapter) => { entry.append(chapter.title); entry.append(at(chapter.at)); });
  section.hidden = false;
  const counted = `${told.words.toLocaleString("en")} words`;
  say(told.episode === null ? `From the transcript on this page (${counted}); it is not in your library.` : `In your library (${counted}).`);
  episode = told.episode;
  byId("keep").hidden = episode !== null || !/^https?:/.test(sent.url);
  byId("here-label").hidden = episode === null;
}

async function read() {
  let page = { url: "", title: "" }, found = { text: "" };
  const [tab] = await chrome.tabs.query({ active: true, lastFocusedWindow: true });
  if (tab?.id !== undefined) {
    page = { url: tab.url || "", title: tab.title || "" };
    try {
      const [result] = await chrome.scripting.executeScript({ target: { tabId: tab.id }, func: findTranscript, args: [MOST] });
      found = result?.result || found;
    } catch { /* the browser's own pages cannot be read; the library may still know the address */ }
  }
  sent = { url: /^https?:/.test(page.url) ? page.url : "", title: page.title.slice(0, 1000), text: found.text };
  show(await ask("summary", sent));
}

async function search() {
  const query = byId("query").value.trim();
  const section = byId("hits");
  if (!query) { section.hidden = true; byId("summary").hidden = !byId("summary").childElementCount; return; }
  say("Searching…");
  const told = await ask("search", { query, episode: byId("here").checked ? episode : null });
  section.replaceChildren();
  listed(section, "Found", told.hits, (entry, hit) => {
    entry.append(make("p", "", hit.text), by(hit.speaker, hit.at, hit.title));
  });
  section.hidden = false;
  byId("summary").hidden = true;
  say(told.hits.length ? "" : "Nothing was found.");
}

const attempt = (work) => work().catch((failure) => say(failure.message, true));

byId("keep").addEventListener("click", () => attempt(async () => { say("Keeping it…"); show(await ask("keep", sent)); }));
byId("find").addEventListener("submit", (event) => { event.preventDefault(); attempt(search); });
byId("query").addEventListener("search", () => { if (!byId("query").value) attempt(search); });
byId("here").addEventListener("change", () => attempt(search));
byId("settings").addEventListener("submit", async (event) => {
  event.preventDefault();
  const address = local(byId("server").value);
  if (!address) { say("The library runs on this machine: http://127.0.0.1:PORT/episodes", true); return; }
  await chrome.storage.local.set({ server: address });
  server = address;
  say("Reading the page…");
  attempt(read);
});

const kept = await chrome.storage.local.get("server");
server = local(kept.server) || DEFAULT;
byId("server").value = server;
attempt(read);
