import type { Command, RoomState } from "./room";

/** Players that are closer than this, in seconds, count as being in step. */
const TOLERANCE = 0.5;

/** Keeps one video element in step with its room, in both directions. */
export class Sync {
  /** What the room said last: events of the element that only follow it are not sent back. */
  private expected: RoomState | undefined;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly send: (command: Command) => void,
  ) {
    video.addEventListener("play", () => {
      if (this.expected?.playing === false) this.send({ type: "play" });
    });
    video.addEventListener("pause", () => {
      if (this.expected?.playing === true && !video.ended) this.send({ type: "pause" });
    });
    video.addEventListener("seeked", () => {
      if (this.drift() > TOLERANCE) this.send({ type: "seek", position: video.currentTime });
    });
    video.addEventListener("ratechange", () => {
      const { playbackRate: rate } = video;
      if (this.expected && this.expected.rate !== rate) this.send({ type: "rate", rate });
    });
  }

  apply(state: RoomState): void {
    this.expected = state;
    this.receivedAt = performance.now();
    const { video } = this;
    if (video.src !== state.video_url) video.src = state.video_url;
    video.playbackRate = state.rate;
    if (this.drift() > TOLERANCE) video.currentTime = state.position;
    if (state.playing && video.paused) {
      // A browser may refuse to start sound without a gesture: the viewer presses play.
      video.play().catch(() => undefined);
    } else if (!state.playing && !video.paused) {
      video.pause();
    }
  }

  private receivedAt = 0;

  /** How far the element is from where the room is now, in seconds. */
  private drift(): number {
    if (!this.expected) return 0;
    const { position, playing, rate } = this.expected;
    const elapsed = playing ? ((performance.now() - this.receivedAt) / 1000) * rate : 0;
    return Math.abs(this.video.currentTime - (position + elapsed));
  }
}
