// The chat page: a conversation in memory, settings in the browser's storage, one answer at a time.

import { ApiError, chat, models } from "./api.js";
import { Turn } from "./turn.js";

const $ = (id) => document.getElementById(id);
const RANGES = ["temperature", "top_p", "min_p", "repetition_penalty"];
const REMEMBERED = [...RANGES, "max_tokens", "seed", "system"];
let turns = [];
let running = null;

function notice(text, bad = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("bad", bad);
}

function settings() {
  const body = { model: $("model").value, max_tokens: Number($("max_tokens").value) || 512 };
  // a strategy or route samples in a way of its own, and its answer need not be one sample
  if (!$("model").selectedOptions[0]?.dataset.own) {
    for (const name of RANGES) body[name] = Number($(name).value);
    if ($("logprobs").checked) Object.assign(body, { logprobs: true, top_logprobs: 5 });
  }
  if ($("seed").value !== "") body.seed = Number($("seed").value);
  const system = $("system").value.trim();
  body.messages = [...(system ? [{ role: "system", content: system }] : []), ...turns.map((turn) => turn.message)];
  return body;
}

function remember() {
  for (const name of REMEMBERED) localStorage.setItem(`whetstone.${name}`, $(name).value);
  localStorage.setItem("whetstone.model", $("model").value);
  sessionStorage.setItem("whetstone.key", $("key").value); // gone with the tab
  for (const name of RANGES) $(`${name}-shown`).value = $(name).value;
}

function recall() {
  for (const name of REMEMBERED) $(name).value = localStorage.getItem(`whetstone.${name}`) ?? $(name).value;
  $("key").value = sessionStorage.getItem("whetstone.key") ?? "";
  for (const name of RANGES) $(`${name}-shown`).value = $(name).value;
}

async function loadModels() {
  try {
    const offered = await models($("key").value);
    const wanted = $("model").value || localStorage.getItem("whetstone.model");
    $("model").replaceChildren(...offered.map(({ id, strategy, route }) => {
      const option = new Option(id, id, false, id === wanted);
      option.dataset.own = strategy || route ? "yes" : "";
      return option;
    }));
    notice("");
  } catch (error) {
    explain(error);
  }
}

function explain(error) {
  if (error instanceof ApiError && error.status === 401) {
    $("settings").hidden = false;
    $("toggle-settings").setAttribute("aria-expanded", "true");
    $("key").focus();
    notice("This server wants an API key: put it into the settings.", true);
  } else {
    notice(error instanceof ApiError ? error.message : "The server cannot be reached.", true);
  }
}

function show(turn) {
  $("empty").hidden = true;
  turns.push(turn);
  $("log").append(turn.element);
  follow(true);
  return turn;
}

/** Keep the end in view, unless the reader has scrolled away from it. */
function follow(always = false) {
  const log = $("log");
  if (always || log.scrollHeight - log.scrollTop - log.clientHeight < 120) log.scrollTop = log.scrollHeight;
}

async function answer() {
  const body = settings();
  const turn = new Turn("assistant", body.model);
  running = new AbortController();
  busy(true);
  show(turn).element.classList.add("working");
  const began = performance.now();
  let first = 0, usage = null, chosen = null, finish = "";
  try {
    for await (const chunk of chat(body, $("key").value, running.signal)) {
      const choice = chunk.choices[0];
      usage = chunk.usage ?? usage;
      chosen = chunk.whetstone ?? chosen;
      if (!choice) continue;
      if (choice.delta?.content || choice.delta?.reasoning_content || choice.delta?.tool_calls) first ||= performance.now();
      turn.add(choice);
      finish = choice.finish_reason ?? finish;
      follow();
    }
    notice("");
  } catch (error) {
    if (error.name === "AbortError") finish = "stopped";
    else { finish = "failed"; explain(error); }
  }
  running = null;
  busy(false);
  turn.end(figures(usage, chosen, first, began, finish));
  turn.parts.again.hidden = false;
  turn.parts.again.addEventListener("click", () => again(turn));
  if (finish === "failed" && !turn.content && !turn.reasoning) drop(turn);
  $("prompt").focus();
}

function figures(usage, chosen, first, began, finish) {
  const said = finish === "stop" ? [] : [finish === "length" ? "cut at the longest answer" : finish];
  if (usage && chosen) { // it came in one go, when it was chosen
    const hidden = usage.completion_tokens_details.reasoning_tokens;
    said.push(`${usage.completion_tokens} tokens${hidden ? `, ${hidden} of them hidden` : ""}`);
    said.push(`after ${(((first || performance.now()) - began) / 1000).toFixed(2)} s`);
  } else if (usage && first) {
    const seconds = (performance.now() - first) / 1000;
    const rate = usage.completion_tokens > 1 ? `, ${((usage.completion_tokens - 1) / seconds).toFixed(0)} a second` : "";
    said.push(`${usage.completion_tokens} tokens${rate}`, `first after ${((first - began) / 1000).toFixed(2)} s`);
  }
  return said.filter(Boolean).join(" · ");
}

function drop(turn) {
  turns = turns.filter((each) => each !== turn);
  turn.element.remove();
}

/** Ask for this answer once more; what came after it goes. */
function again(turn) {
  if (running) return;
  for (const later of turns.slice(turns.indexOf(turn))) drop(later);
  answer();
}

function busy(on) {
  $("log").setAttribute("aria-busy", String(on));
  $("send").hidden = on;
  $("stop").hidden = !on;
}

function send() {
  const text = $("prompt").value.trim();
  if (!text || running) return;
  if (!$("model").value) {
    loadModels();
    return;
  }
  if (!$("settings").reportValidity()) return;
  $("prompt").value = "";
  grow();
  show(new Turn("user", "You").set(text));
  answer();
}

function grow() {
  const box = $("prompt");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

function stop() {
  running?.abort();
}

function restart() {
  stop();
  for (const turn of [...turns]) drop(turn);
  $("empty").hidden = false;
  notice("");
  $("prompt").focus();
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("prompt").addEventListener("input", grow);
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
$("stop").addEventListener("click", stop);
$("new").addEventListener("click", restart);
$("settings").addEventListener("input", remember);
$("settings").addEventListener("submit", (event) => event.preventDefault());
$("key").addEventListener("change", loadModels);
$("model").addEventListener("change", remember);
$("toggle-settings").addEventListener("click", () => {
  const hidden = ($("settings").hidden = !$("settings").hidden);
  $("toggle-settings").setAttribute("aria-expanded", String(!hidden));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
  if (event.altKey && event.key.toLowerCase() === "n") { event.preventDefault(); restart(); }
});

recall();
loadModels();
