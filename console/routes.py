"""Every page and every route of the API, for people who have signed in."""

from __future__ import annotations

import console.api.answers
import console.api.drift
import console.api.feedback
import console.api.performance
import console.api.pins
import console.api.review
import console.pages.answer
import console.pages.answers
import console.pages.data
import console.pages.drift
import console.pages.fixes
import console.pages.overview
import console.pages.performance
import console.pages.pins
import console.pages.refused
import console.pages.review
import console.pages.rollout
import console.pages.routes
import console.pages.tasks
import console.pages.versions

PAGES = (
    console.pages.overview.router,
    console.pages.review.router,
    console.pages.answers.router,
    console.pages.answer.router,
    console.pages.versions.router,
    console.pages.rollout.router,
    console.pages.drift.router,
    console.pages.performance.router,
    console.pages.data.router,
    console.pages.fixes.router,
    console.pages.pins.router,
    console.pages.refused.router,
    console.pages.tasks.router,
    console.pages.routes.router,
)
API = (
    console.api.feedback.router,
    console.api.review.router,
    console.api.answers.router,
    console.api.drift.router,
    console.api.performance.router,
    console.api.pins.router,
)
