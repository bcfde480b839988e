// What a page can do more when scripts run: play from a place, follow the sound, search, keys. Without it all is readable.
"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const transcript = byId("transcript");
  const audio = byId("audio");
  const pieces = [...transcript.querySelectorAll("span[id^=s]")];
  const timed = pieces.filter((piece) => piece.dataset.t);
  const starts = timed.map((piece) => Number(piece.dataset.t));
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  root.classList.add("live");

  // The last index whose value is not above `wanted`, -1 where all are.
  const lastAt = (sorted, wanted) => {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= wanted) low = middle + 1; else high = middle;
    }
    return low - 1;
  };

  // A range of characters of an element's text, whatever elements are inside it.
  const rangeIn = (element, from, to) => {
    const range = new Range();
    const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    let passed = 0, begun = false;
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      const end = passed + node.length;
      if (!begun && from < end) { range.setStart(node, from - passed); begun = true; }
      if (begun && to <= end) { range.setEnd(node, to - passed); return range; }
      passed = end;
    }
    return null;
  };

  const paints = Boolean(globalThis.CSS?.highlights && globalThis.Highlight);
  const paint = (name, ranges) => {
    if (!paints) return;
    if (ranges.length) CSS.highlights.set(name, new Highlight(...ranges)); else CSS.highlights.delete(name);
  };
  const show = (element, block = "center") => element.scrollIntoView({ block, behavior: calm.matches ? "auto" : "smooth" });

  // --- Sound -------------------------------------------------------------------------------------------------------

  const playFrom = (seconds) => {
    audio.currentTime = seconds;
    audio.play().catch(() => {});  // a browser may want a click first; the position is set all the same
  };

  let saying = null;  // the piece that is being said
  const words = new WeakMap();  // piece -> [character offset of each word, and where it ends]
  const wordsOf = (piece) => {
    if (!words.has(piece)) words.set(piece, [...piece.textContent.matchAll(/\S+/g)].map((each) => [each.index, each.index + each[0].length]));
    return words.get(piece);
  };
  const wordStarts = (piece) => (piece.dataset.w || "").split(" ").filter(Boolean).map((each) => Number(each) / 100);

  const follow = () => {
    const now = audio.currentTime + 0.02;
    const piece = audio.currentTime > 0 || !audio.paused ? timed[lastAt(starts, now)] : undefined;
    if (piece !== saying) {
      saying?.classList.remove("saying");
      saying = piece || null;
      saying?.classList.add("saying");
      if (saying && byId("follow").checked) show(saying);
      markChapter(now);
    }
    const at = saying ? lastAt(wordStarts(saying), now - Number(saying.dataset.t)) : -1;
    const word = saying && wordsOf(saying)[at];
    const range = word && rangeIn(saying, word[0], word[1]);
    paint("word", range ? [range] : []);
  };

  const chapters = [...document.querySelectorAll(".chapters a[data-t]")];
  const markChapter = (now) => {
    const current = chapters[lastAt(chapters.map((each) => Number(each.dataset.t)), now)];
    for (const each of chapters) {
      if (each === current) each.setAttribute("aria-current", "true"); else each.removeAttribute("aria-current");
    }
  };

  // The second at which the word under a click begins, null where it has none.
  const secondAt = (event) => {
    const piece = event.target.closest?.("span[data-t]");
    if (!piece || !transcript.contains(piece)) return null;
    const place = document.caretPositionFromPoint?.(event.clientX, event.clientY);
    const [node, offset] = place ? [place.offsetNode, place.offset] : (() => {
      const range = document.caretRangeFromPoint?.(event.clientX, event.clientY);
      return range ? [range.startContainer, range.startOffset] : [null, 0];
    })();
    const begin = Number(piece.dataset.t);
    if (!node || !piece.contains(node)) return begin;
    const before = new Range();
    before.setStart(piece, 0);
    before.setEnd(node, offset);
    const word = lastAt(wordsOf(piece).map((each) => each[0]), before.toString().length);
    return begin + (wordStarts(piece)[word] || 0);
  };

  if (audio) {
    transcript.classList.add("playable");
    let running = 0;
    const tick = () => { follow(); if (!audio.paused) running = requestAnimationFrame(tick); };
    audio.addEventListener("play", () => { cancelAnimationFrame(running); tick(); });
    for (const name of ["seeked", "pause", "timeupdate"]) audio.addEventListener(name, follow);
    transcript.addEventListener("click", (event) => {
      if (event.target.closest("a") || String(getSelection())) return;
      const second = secondAt(event);
      if (second !== null) playFrom(second);
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[data-t]");
      if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      if (link.classList.contains("play")) event.preventDefault();
      else if (!link.classList.contains("at") && !link.classList.contains("when")) { audio.currentTime = Number(link.dataset.t); return; }
      playFrom(Number(link.dataset.t));
    });
    byId("back").addEventListener("click", () => { audio.currentTime -= 15; });
    byId("on").addEventListener("click", () => { audio.currentTime += 30; });
    const speed = byId("speed");
    speed.addEventListener("change", () => { audio.playbackRate = Number(speed.value); keep("speed", speed.value); });
    const kept = recall("speed");
    if (kept && [...speed.options].some((each) => each.value === kept)) { speed.value = kept; audio.playbackRate = Number(kept); }
  }

  // What the reader chose last time; a browser may refuse to keep anything.
  function keep(name, value) { try { localStorage.setItem(`episode-${name}`, value); } catch { /* then it is asked again */ } }
  function recall(name) { try { return localStorage.getItem(`episode-${name}`); } catch { return null; } }

  // --- #t=123 ------------------------------------------------------------------------------------------------------

  const goTo = () => {
    const wanted = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (!wanted) return;
    const second = Number(wanted[1]);
    const piece = timed[Math.max(0, lastAt(starts, second))];
    if (!piece) return;
    piece.scrollIntoView({ block: "center" });
    if (audio) { audio.currentTime = second; follow(); } else {
      saying?.classList.remove("saying");
      saying = piece;
      piece.classList.add("saying");
    }
  };
  addEventListener("hashchange", goTo);

  // --- Search ------------------------------------------------------------------------------------------------------

  const needle = byId("needle"), found = byId("found");
  // Lower case without accents; each character keeps its place, so that what is found can be marked.
  const folded = (text) => Array.from({ length: text.length }, (_, n) => {
    const plain = text[n].normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
    return plain.length === 1 ? plain : text[n];
  }).join("").replace(/[’ʼ]/g, "'");
  // Paragraphs are searched whole: what is looked for may go on over the end of a sentence.
  const paragraphs = [...transcript.querySelectorAll(".turn > p:not(.who)")];
  let texts = null;
  let hits = [], hit = -1;

  const search = () => {
    const wanted = folded(needle.value.trim().replace(/\s+/g, " "));
    for (const each of hits) each.paragraph.classList.remove("hit");
    hits = [];
    hit = -1;
    if (wanted.length > 1 || /[^\x00-\u024f]/.test(wanted)) {
      texts ??= paragraphs.map((paragraph) => folded(paragraph.textContent));
      texts.forEach((text, n) => {
        const time = paragraphs[n].querySelector(".at").textContent.length;
        for (let at = text.indexOf(wanted, time); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
          hits.push({ paragraph: paragraphs[n], from: at, to: at + wanted.length });
        }
      });
    }
    found.textContent = !wanted ? "" : hits.length ? `${hits.length} found` : "none";
    byId("before").disabled = byId("after").disabled = !hits.length;
    if (!paints) for (const each of hits) each.paragraph.classList.add("hit");
    paint("hits", hits.map((each) => rangeIn(each.paragraph, each.from, each.to)).filter(Boolean));
    paint("hit", []);
  };
  const step = (by) => {
    if (!hits.length) return;
    hit = hit < 0 ? (by > 0 ? 0 : hits.length - 1) : (hit + by + hits.length) % hits.length;
    const { paragraph, from, to } = hits[hit];
    const range = rangeIn(paragraph, from, to);
    found.textContent = `${hit + 1} of ${hits.length}`;
    paint("hit", range ? [range] : []);
    show(range ? range.startContainer.parentElement : paragraph);
  };
  let typing = 0;
  needle.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 120); });
  byId("find").addEventListener("submit", (event) => event.preventDefault());
  byId("before").addEventListener("click", () => step(-1));
  byId("after").addEventListener("click", () => step(1));
  needle.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { clearTimeout(typing); if (hit < 0) search(); step(event.shiftKey ? -1 : 1); event.preventDefault(); }
    if (event.key === "Escape") { needle.value = ""; search(); needle.blur(); }
  });

  // --- Keys --------------------------------------------------------------------------------------------------------

  const shortcuts = byId("shortcuts");
  shortcuts.checked = recall("shortcuts") !== "off";
  shortcuts.addEventListener("change", () => keep("shortcuts", shortcuts.checked ? "on" : "off"));
  const faster = (by) => {
    const speed = byId("speed");
    speed.selectedIndex = Math.min(speed.options.length - 1, Math.max(0, speed.selectedIndex + by));
    speed.dispatchEvent(new Event("change"));
  };
  const toggle = () => { if (audio.paused) audio.play().catch(() => {}); else audio.pause(); };
  const keys = {
    "/": () => { needle.focus(); needle.select(); },
    n: () => step(1),
    p: () => step(-1),
    "?": () => { byId("keys").open = true; show(byId("keys")); byId("keys").querySelector("summary").focus(); },
  };
  if (audio) Object.assign(keys, {
    " ": toggle, k: toggle, j: () => { audio.currentTime -= 15; }, l: () => { audio.currentTime += 30; }, "<": () => faster(-1), ">": () => faster(1),
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !shortcuts.checked) return;
    const at = event.target;
    if (at.closest?.("input:not([type=checkbox]), select, textarea, audio, [contenteditable]")) return;
    if (event.key === " " && at.closest?.("button, a, summary, input, label")) return;
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  if (matchMedia("(max-width: 60rem)").matches) document.querySelector(".contents details").open = false;
  goTo();
})();
