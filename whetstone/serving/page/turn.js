// One turn of the conversation on the page: text as it arrives, thinking folded, tokens with their probabilities.
// Whatever a model writes is put in as text, never as markup.

const template = document.getElementById("turn");
const tip = document.getElementById("tip");

export class Turn {
  constructor(role, name) {
    this.role = role;
    this.content = "";
    this.reasoning = "";
    this.calls = [];
    this.tokens = [];
    this.element = template.content.cloneNode(true).querySelector("article");
    this.element.classList.add(role);
    const part = (selector) => this.element.querySelector(selector);
    this.parts = {
      text: part(".text"), thinking: part(".thinking"), figures: part(".figures"),
      copy: part(".copy"), tokens: part(".tokens"), again: part(".again"),
    };
    part("h2").textContent = name;
    this.parts.copy.addEventListener("click", () => this.#copy());
    this.parts.tokens.addEventListener("click", () => this.#toggleTokens());
    this.decoder = new TextDecoder();
  }

  /** The message as the API wants it back. */
  get message() {
    const message = { role: this.role, content: this.content };
    if (this.calls.length) message.tool_calls = this.calls;
    return message;
  }

  set(text) {
    this.content = text;
    this.#draw();
    return this;
  }

  /** Take one choice of a chunk. */
  add(choice) {
    const delta = choice.delta ?? {};
    if (delta.reasoning_content) {
      this.reasoning += delta.reasoning_content;
      this.parts.thinking.hidden = false;
      this.parts.thinking.querySelector("div").textContent = this.reasoning;
    }
    for (const call of delta.tool_calls ?? []) {
      const known = (this.calls[call.index] ??= { id: call.id, type: "function", function: { name: "", arguments: "" } });
      known.function.name += call.function?.name ?? "";
      known.function.arguments += call.function?.arguments ?? "";
    }
    if (delta.content) this.content += delta.content;
    for (const token of choice.logprobs?.content ?? []) {
      // the bytes of one character may be spread over several tokens: the last of them shows it
      const bytes = token.bytes ? new Uint8Array(token.bytes) : new TextEncoder().encode(token.token);
      this.tokens.push({ ...token, shown: this.decoder.decode(bytes, { stream: true }) });
    }
    this.#draw();
  }

  /** The answer is complete: what it took, and that it can be asked for again. */
  end(figures) {
    this.element.classList.remove("working");
    this.parts.figures.textContent = figures;
    this.parts.tokens.hidden = this.tokens.length === 0;
  }

  #draw() {
    const calls = this.calls.map((call) => `${call.function.name}(${call.function.arguments})`);
    const pieces = [this.content, ...calls].filter(Boolean).join("\n").split(/^```[^\n]*\n([\s\S]*?)(?:^```[ ]*$\n?|(?![\s\S]))/m);
    this.parts.text.replaceChildren(...pieces.map((piece, place) => {
      if (place % 2 === 0) return document.createTextNode(piece);
      const code = document.createElement("pre");
      code.tabIndex = 0;
      code.textContent = piece;
      return code;
    }));
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.content);
      this.parts.copy.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(this.parts.text);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      this.parts.copy.textContent = "Selected";
    }
    setTimeout(() => (this.parts.copy.textContent = "Copy"), 1500);
  }

  #toggleTokens() {
    const on = this.parts.tokens.getAttribute("aria-pressed") !== "true";
    this.parts.tokens.setAttribute("aria-pressed", String(on));
    if (!on) {
      tip.hidden = true;
      this.#draw();
      return;
    }
    this.parts.text.replaceChildren(...this.tokens.map((token) => {
      const span = document.createElement("span");
      span.className = "token";
      span.tabIndex = 0;
      span.textContent = token.shown;
      span.style.setProperty("--doubt", String(1 - Math.exp(token.logprob)));
      span.setAttribute("aria-label", `${token.shown} ${percent(token.logprob)}`);
      for (const event of ["pointerenter", "focus"]) span.addEventListener(event, () => showTip(span, token));
      for (const event of ["pointerleave", "blur"]) span.addEventListener(event, () => (tip.hidden = true));
      return span;
    }));
  }
}

const percent = (logprob) => `${(100 * Math.exp(logprob)).toFixed(1)} %`;

function showTip(span, token) {
  const others = token.top_logprobs ?? [];
  // several tokens may read alike, so the name alone does not tell which one was chosen
  const chosen = others.findIndex((other) => other.token === token.token && other.logprob === token.logprob);
  const rows = chosen < 0 ? [token, ...others] : others;
  const table = document.createElement("table");
  for (const [place, other] of rows.entries()) {
    const row = table.insertRow();
    row.className = place === Math.max(chosen, 0) ? "chosen" : "";
    row.insertCell().textContent = JSON.stringify(other.token);
    row.insertCell().textContent = percent(other.logprob);
  }
  tip.replaceChildren(table);
  tip.hidden = false;
  const at = span.getBoundingClientRect();
  const left = Math.max(4, Math.min(at.left, innerWidth - tip.offsetWidth - 4));
  const below = at.bottom + 6 + tip.offsetHeight < innerHeight;
  tip.style.left = `${left}px`;
  tip.style.top = `${below ? at.bottom + 6 : at.top - tip.offsetHeight - 6}px`;
}
