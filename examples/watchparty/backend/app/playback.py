"""Where a video stands. No input or output: time is passed in, so it is easy to reason about."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Playback:
    """The state at one moment, from which the position at any later one follows."""

    position: float = 0.0
    playing: bool = False
    rate: float = 1.0
    at: float = 0.0
    revision: int = 0

    def position_at(self, now: float) -> float:
        """The position in the video, in seconds, at the time `now`."""
        if not self.playing:
            return self.position
        return self.position + max(0.0, now - self.at) * self.rate

    def play(self, now: float) -> Playback:
        return self._moved(now, self.position_at(now), playing=True)

    def pause(self, now: float) -> Playback:
        return self._moved(now, self.position_at(now), playing=False)

    def seek(self, now: float, position: float) -> Playback:
        return self._moved(now, max(0.0, position), playing=self.playing)

    def with_rate(self, now: float, rate: float) -> Playback:
        return replace(self._moved(now, self.position_at(now), playing=self.playing), rate=rate)

    def _moved(self, now: float, position: float, *, playing: bool) -> Playback:
        return replace(
            self, position=position, playing=playing, at=now, revision=self.revision + 1
        )
