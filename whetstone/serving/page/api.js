// The server's API as this page needs it: the list of models, and one streamed chat.

/** An error with the server's own words. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function refuse(response) {
  let message = `The server answered ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // not the API's own error: the status must do
  }
  const wait = response.headers.get("retry-after");
  throw new ApiError(wait ? `${message} (try again in ${wait} s)` : message, response.status);
}

function headers(key) {
  return { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
}

/** All models, adapters, strategies and routes. */
export async function models(key) {
  const response = await fetch("/v1/models", { headers: headers(key) });
  if (!response.ok) await refuse(response);
  return (await response.json()).data;
}

/** Yields the chunks of a streamed chat completion; `signal` stops it, and the server with it. */
export async function* chat(body, key, signal) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: headers(key),
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) await refuse(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError("The connection was cut before the answer was complete.", 0);
    rest += value;
    const lines = rest.split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(chunk.error.message, 500);
      yield chunk;
    }
  }
}
