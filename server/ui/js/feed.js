// One WebSocket for the whole page: it subscribes, checks that no frame is missing, asks for a new
// snapshot when one is, and comes back by itself after the connection is lost.

import { Channel, messageOf } from "./channel.js";
import { parseExact } from "./json.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;
// A silent connection is asked after this long, and given up when it stays silent as long again.
const SILENCE_MS = 15_000;

export class Feed extends EventTarget {
  #url;
  #socket = null;
  #channels = new Map();
  #attempts = 0;
  #lastHeard = 0;
  #asked = false;
  #retryTimer = 0;
  #queries = 0;

  constructor(url) {
    super();
    this.#url = url;
    this.state = "connecting";
    /** The highest LSN anyone named on this connection. */
    this.lsn = null;
    /** Watermarks by topic; the empty name is the server's own. */
    this.watermarks = new Map();
    setInterval(() => this.#watchSilence(), SILENCE_MS / 3);
    window.addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#retryNow();
    });
  }

  open() {
    clearTimeout(this.#retryTimer);
    this.#setState("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#lastHeard = performance.now();
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      // A server restored from a backup may be behind what was seen before.
      this.lsn = null;
      this.#setState("live");
      for (const channel of this.#channels.values()) this.#start(channel);
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket && typeof event.data === "string") this.#receive(event.data);
    });
    socket.addEventListener("close", () => {
      if (socket === this.#socket) this.#lost();
    });
  }

  /** Follows a topic. Listeners of one topic share it; a further one brings all of them a fresh snapshot. */
  subscribe(topic, listener) {
    const channel = this.#channels.get(topic) ?? this.#add(new Channel(topic, null));
    return this.#listen(channel, listener);
  }

  /** Runs `SELECT .. EMIT CHANGES` and follows it until the returned function is called. */
  query(sql, listener) {
    this.#queries += 1;
    return this.#listen(this.#add(new Channel(`q${this.#queries}`, sql)), listener);
  }

  #add(channel) {
    this.#channels.set(channel.name, channel);
    return channel;
  }

  #listen(channel, listener) {
    channel.listeners.add(listener);
    if (this.state === "live") this.#start(channel);
    return () => {
      channel.listeners.delete(listener);
      if (channel.listeners.size > 0) return;
      channel.stop();
      this.#channels.delete(channel.name);
      this.watermarks.delete(channel.name);
      if (channel.asked) this.#send(channel.farewell());
    };
  }

  #start(channel) {
    if (channel.asked) this.#send(channel.farewell());
    this.#send(channel.greeting());
  }

  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #receive(text) {
    this.#lastHeard = performance.now();
    this.#asked = false;
    let frame;
    try {
      frame = parseExact(text);
    } catch {
      // Not a frame of this protocol: a broken peer, so start over rather than guess.
      this.#socket.close();
      return;
    }
    // Only a connection that really talks ends the backoff: one that is cut at once must not.
    this.#attempts = 0;
    const channel = this.#channelOf(frame);
    this.#note(frame, channel);
    if (channel) {
      if (!channel.take(frame)) channel.retry(() => this.state === "live" && this.#start(channel));
    } else if (frame.type === "closing" && !frame.topic && !frame.id) {
      this.#setState("closing", frame.reason ?? frame.message);
    } else if (frame.type === "error") {
      this.dispatchEvent(new CustomEvent("fault", { detail: messageOf(frame) }));
    }
  }

  #channelOf(frame) {
    return this.#channels.get(frame.id) ?? this.#channels.get(frame.topic) ?? null;
  }

  /** The log has come this far, as a frame or a reply over HTTP said. */
  reached(lsn) {
    const seq = Number(lsn ?? NaN);
    if (!Number.isFinite(seq) || (this.lsn !== null && seq <= this.lsn)) return;
    this.lsn = seq;
    this.dispatchEvent(new Event("progress"));
  }

  #note(frame, channel) {
    const marked = frame.type === "heartbeat" && frame.watermark !== undefined && frame.watermark !== null;
    if (marked && (channel || !frame.topic)) {
      this.watermarks.set(channel?.name ?? "", frame.watermark);
      this.dispatchEvent(new Event("progress"));
    }
    this.reached(frame.seq);
    // A heartbeat that names no topic speaks for all of them.
    if (frame.type === "heartbeat" && !channel) {
      for (const other of this.#channels.values()) other.heard(Number(frame.seq));
    }
  }

  #watchSilence() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const silent = performance.now() - this.#lastHeard;
    if (silent < SILENCE_MS) return;
    if (this.#asked && silent > 2 * SILENCE_MS) {
      this.#socket.close();
      this.#lost();
    } else {
      this.#asked = true;
      this.#send({ action: "ping" });
    }
  }

  #lost() {
    this.#socket = null;
    for (const channel of this.#channels.values()) channel.disconnected();
    // Full jitter keeps many pages from coming back in the same instant.
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempts);
    const wait = ceiling * (0.5 + 0.5 * Math.random());
    this.#attempts = Math.min(this.#attempts + 1, 16);
    this.#setState("lost", wait);
    this.#retryTimer = setTimeout(() => this.open(), wait);
  }

  #retryNow() {
    if (this.state === "lost") this.open();
  }

  #setState(state, detail) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail }));
  }
}
