"""Every page and every route of the API, for people who have signed in."""

from __future__ import annotations

import console.api.answers
import console.api.performance
import console.api.pins
import console.pages.answer
import console.pages.answers
import console.pages.data
import console.pages.overview
import console.pages.performance
import console.pages.pins
import console.pages.rollout
import console.pages.tasks
import console.pages.versions

ROUTERS = (
    console.pages.overview.router,
    console.pages.answers.router,
    console.pages.answer.router,
    console.pages.versions.router,
    console.pages.rollout.router,
    console.pages.performance.router,
    console.pages.data.router,
    console.pages.pins.router,
    console.pages.tasks.router,
    console.api.answers.router,
    console.api.performance.router,
    console.api.pins.router,
)
