"""The service: rooms over HTTP, playback over a WebSocket for each room."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect, status
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel, HttpUrl, ValidationError

from .rooms import COMMAND, Room, Rooms, TooManyRooms


class NewRoom(BaseModel):
    video_url: HttpUrl


def create_app(commit: str, origins: list[str]) -> FastAPI:
    app = FastAPI(title="Watch party", version=commit)
    app.add_middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"]
    )
    rooms = Rooms()

    def find(room_id: str) -> Room:
        room = rooms.get(room_id)
        if room is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, "no such room")
        return room

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "commit": commit, "rooms": len(rooms)}

    @app.post("/rooms", status_code=status.HTTP_201_CREATED)
    async def create_room(new: NewRoom) -> dict[str, Any]:
        try:
            return rooms.create(str(new.video_url)).snapshot()
        except TooManyRooms as error:
            raise HTTPException(
                status.HTTP_503_SERVICE_UNAVAILABLE, "no more rooms, try again later"
            ) from error

    @app.get("/rooms/{room_id}")
    async def read_room(room_id: str) -> dict[str, Any]:
        return find(room_id).snapshot()

    @app.websocket("/rooms/{room_id}/playback")
    async def playback(socket: WebSocket, room_id: str) -> None:
        room = rooms.get(room_id)
        if room is None:
            await socket.close(status.WS_1008_POLICY_VIOLATION, "no such room")
            return
        await socket.accept()
        await room.join(socket)
        try:
            while True:
                try:
                    command = COMMAND.validate_json(await socket.receive_text())
                except ValidationError as error:
                    await socket.send_json({"type": "error", "detail": error.errors(include_url=False)})
                    continue
                await room.apply(command)
        except WebSocketDisconnect:
            pass
        finally:
            await room.leave(socket)

    return app


app = create_app(
    commit=os.environ.get("GIT_COMMIT_HASH", "unknown"),
    origins=os.environ.get("ALLOWED_ORIGINS", "http://localhost:8080").split(","),
)
