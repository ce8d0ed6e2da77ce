"""Rooms, and the people in them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, Field, TypeAdapter

from .playback import Playback


class Play(BaseModel):
    type: Literal["play"]


class Pause(BaseModel):
    type: Literal["pause"]


class Seek(BaseModel):
    type: Literal["seek"]
    position: float = Field(ge=0)


class Rate(BaseModel):
    type: Literal["rate"]
    rate: float = Field(ge=0.25, le=4)


Command = Annotated[Play | Pause | Seek | Rate, Field(discriminator="type")]
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class Viewer(Protocol):
    """Somebody who can be told something: a WebSocket, or a test."""

    async def send_json(self, data: Any) -> None: ...


@dataclass(eq=False)
class Room:
    video_url: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(6))
    clock: Callable[[], float] = time.monotonic
    playback: Playback = field(default_factory=Playback)
    viewers: set[Viewer] = field(default_factory=set)

    def snapshot(self) -> dict[str, Any]:
        """What a viewer needs to be in step, as of now."""
        return {
            "type": "state",
            "room": self.id,
            "video_url": self.video_url,
            "position": round(self.playback.position_at(self.clock()), 3),
            "playing": self.playback.playing,
            "rate": self.playback.rate,
            "revision": self.playback.revision,
            "viewers": len(self.viewers),
        }

    async def join(self, viewer: Viewer) -> None:
        self.viewers.add(viewer)
        await self.broadcast()

    async def leave(self, viewer: Viewer) -> None:
        self.viewers.discard(viewer)
        await self.broadcast()

    async def apply(self, command: Command) -> None:
        """Change the playback for everybody in the room."""
        now = self.clock()
        match command:
            case Play():
                self.playback = self.playback.play(now)
            case Pause():
                self.playback = self.playback.pause(now)
            case Seek(position=position):
                self.playback = self.playback.seek(now, position)
            case Rate(rate=rate):
                self.playback = self.playback.with_rate(now, rate)
        await self.broadcast()

    async def broadcast(self) -> None:
        """Tell everybody. Who cannot be reached any more has left."""
        viewers = list(self.viewers)
        state = self.snapshot()
        results = await asyncio.gather(
            *(viewer.send_json(state) for viewer in viewers), return_exceptions=True
        )
        for viewer, result in zip(viewers, results):
            if isinstance(result, Exception):
                self.viewers.discard(viewer)


class Rooms:
    """All rooms of this process. A room lives until the process ends."""

    def __init__(self, limit: int = 1000) -> None:
        self._rooms: dict[str, Room] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._rooms)

    def create(self, video_url: str) -> Room:
        if len(self._rooms) >= self._limit:
            raise TooManyRooms(self._limit)
        room = Room(video_url)
        self._rooms[room.id] = room
        return room

    def get(self, room_id: str) -> Room | None:
        return self._rooms.get(room_id)


class TooManyRooms(Exception):
    """The process keeps no more rooms than its limit."""
