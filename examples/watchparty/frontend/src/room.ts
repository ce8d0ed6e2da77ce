/** What the service tells everybody in a room. */
export interface RoomState {
  type: "state";
  room: string;
  video_url: string;
  position: number;
  playing: boolean;
  rate: number;
  revision: number;
  viewers: number;
}

export type Command =
  | { type: "play" }
  | { type: "pause" }
  | { type: "seek"; position: number }
  | { type: "rate"; rate: number };

/** The service listens beside us, on its own port. */
const api = new URL(`${location.protocol}//${location.hostname}:8000/`);

export async function createRoom(videoUrl: string): Promise<RoomState> {
  const answer = await fetch(new URL("rooms", api), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ video_url: videoUrl }),
  });
  if (!answer.ok) {
    throw new Error(`The room could not be opened (${answer.status}).`);
  }
  return (await answer.json()) as RoomState;
}

/** A connection to a room, which comes back by itself after it was lost. */
export class RoomConnection {
  private socket: WebSocket | undefined;
  private attempts = 0;

  constructor(
    private readonly room: string,
    private readonly onState: (state: RoomState) => void,
    private readonly onLost: () => void,
  ) {
    this.connect();
  }

  send(command: Command): void {
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify(command));
    }
  }

  private connect(): void {
    const url = new URL(`rooms/${encodeURIComponent(this.room)}/playback`, api);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(url);
    this.socket.onmessage = (event: MessageEvent<string>) => {
      this.attempts = 0;
      const message = JSON.parse(event.data) as RoomState | { type: "error" };
      if (message.type === "state") {
        this.onState(message);
      }
    };
    this.socket.onclose = () => {
      this.onLost();
      const delay = Math.min(10_000, 250 * 2 ** this.attempts);
      this.attempts += 1;
      setTimeout(() => this.connect(), delay);
    };
  }
}
