// Runs inside the page that the user asked about, once, and only then: finds the transcript that stands on it.
// It is handed to the page as a function, so it may use nothing from outside itself.
export function findTranscript(most) {
  const clean = (text) => text.replace(/\u00a0/g, " ").replace(/[ \t]+\n/g, "\n").replace(/\n{3,}/g, "\n\n").trim();
  const words = (text) => text.split(/\s+/).length;

  // Captions of a film or of sound that the browser has loaded.
  const clock = (seconds) => [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((part) => String(Math.floor(part)).padStart(2, "0")).join(":");
  for (const media of document.querySelectorAll("video, audio")) {
    for (const track of media.textTracks || []) {
      const cues = [...(track.cues || [])].filter((cue) => cue.text);
      if (cues.length < 5) continue;
      const time = (seconds) => `${clock(seconds)}.${String(Math.floor((seconds % 1) * 1000)).padStart(3, "0")}`;
      const text = `WEBVTT\n\n${cues.map((cue) => `${time(cue.startTime)} --> ${time(cue.endTime)}\n${cue.text}`).join("\n\n")}\n`;
      return { text: text.slice(0, most), found: "captions" };
    }
  }

  // What calls itself a transcript; the longest such element.
  const named = [...document.querySelectorAll("[id*=transcript i], [class*=transcript i], [itemprop=transcript i], [aria-label*=transcript i]")];
  let best = "";
  for (const element of named) {
    const text = clean(element.innerText || "");
    if (text.length > best.length) best = text;
  }
  if (words(best) >= 50) return { text: best.slice(0, most), found: "transcript" };

  // What follows a heading that says so.
  const heading = [...document.querySelectorAll("h1, h2, h3, h4, summary")].find((each) => /\btranscript\b/i.test(each.textContent));
  if (heading) {
    const parts = [];
    const level = /^H[1-4]$/.test(heading.tagName) ? Number(heading.tagName[1]) : 9;
    for (let next = heading.nextElementSibling; next; next = next.nextElementSibling) {
      if (/^H[1-4]$/.test(next.tagName) && Number(next.tagName[1]) <= level) break;
      parts.push(next.innerText || "");
    }
    const text = clean(parts.join("\n"));
    if (words(text) >= 50) return { text: text.slice(0, most), found: "transcript" };
  }

  // Turns of the form "Name: words", wherever the page's own text has many of them.
  const whole = clean((document.querySelector("article, main") || document.body).innerText || "");
  const turns = whole.match(/^(?:[\[(]?\d{1,2}:\d\d(?::\d\d)?[\])]?\s*)?\p{Lu}[\p{L}.' -]{1,40}:\s/gmu) || [];
  if (turns.length >= 5) return { text: whole.slice(0, most), found: "turns" };
  return { text: "", found: "" };
}
