import "./style.css";
import { createRoom, RoomConnection, type RoomState } from "./room";
import { Sync } from "./sync";

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}.`);
  return found as T;
}

const form = element<HTMLFormElement>("create");
const video = element<HTMLVideoElement>("video");
const status = element("status");

element("commit").textContent = import.meta.env.VITE_GIT_COMMIT_HASH ?? "unknown";

function enter(room: string): void {
  location.hash = room;
  form.hidden = true;
  video.hidden = false;
  const connection = new RoomConnection(
    room,
    (state: RoomState) => {
      status.textContent = `Room ${state.room}, ${state.viewers} watching. Share this page's address.`;
      sync.apply(state);
    },
    () => {
      status.textContent = "Connection lost, trying again …";
    },
  );
  const sync = new Sync(video, (command) => connection.send(command));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const room = await createRoom(String(new FormData(form).get("video")));
    enter(room.room);
  } catch (error) {
    status.textContent = error instanceof Error ? error.message : String(error);
  }
});

const room = location.hash.slice(1);
if (room) enter(room);
