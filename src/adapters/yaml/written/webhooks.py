"""Webhooks that come in, as written."""

from __future__ import annotations

from typing import Annotated, Literal

from spork.adapters.yaml.scalars import Duration, Secret, Size
from spork.adapters.yaml.written.form import WrittenPolicy
from spork.domain.identity.webhooks import WebhookRule, standard_key


class Webhook(WrittenPolicy, frozen=True):
    """Only requests that a provider signed."""

    provider: Annotated[Literal["stripe", "github", "standard"], "Whose signatures: Stripe, GitHub, Standard Webhooks."]
    secrets: Annotated[tuple[Secret, ...], "Its signing secrets, the next one beside the old; write them as ${VAR}."]
    tolerance: Annotated[Duration, "Age up to which a signed time is taken (not GitHub, which signs none)."] = 300.0
    bytes: Annotated[Size, "Largest body taken."] = 1024 * 1024

    def compiled(self) -> WebhookRule:
        if not self.secrets or not all(self.secrets):
            raise ValueError("needs a secret: anybody could sign with an empty one")
        if self.provider == "standard":
            for secret in self.secrets:
                standard_key(secret)
        return WebhookRule(self.provider, self.secrets, self.tolerance, self.bytes)
