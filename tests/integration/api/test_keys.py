"""Keys over HTTP: made, listed, revoked, in one's own tenant only."""

import pytest


async def test_a_key_can_be_made_used_and_taken_back(router) -> None:
    """The new key works at once, and is refused at once where it was revoked."""
    made = await router.acme.post("/v1/keys", json={"scopes": ["tickets:read"], "label": "wallboard"})
    assert (201, "acme", ["tickets:read"]) == (made.status_code, made.json()["tenant"], made.json()["scopes"])
    headers = {"authorization": f"Bearer {made.json()['key']}"}
    assert 200 == (await router.nobody.get("/v1/tickets", headers=headers)).status_code
    assert 403 == (await router.nobody.get("/v1/keys", headers=headers)).status_code
    assert 204 == (await router.acme.delete(f"/v1/keys/{made.json()['id']}")).status_code
    assert 401 == (await router.nobody.get("/v1/tickets", headers=headers)).status_code
    assert 404 == (await router.acme.delete(f"/v1/keys/{made.json()['id']}")).status_code


async def test_keys_are_listed_without_their_secrets(router) -> None:
    """Not even the digest is shown."""
    await router.acme.post("/v1/keys", json={"scopes": ["metrics:read"], "label": "prometheus"})
    listed = (await router.acme.get("/v1/keys")).json()["keys"]
    assert ["prometheus", "test"] == [key["label"] for key in listed]
    assert {"id", "label", "scopes", "created_at", "revoked_at"} == set(listed[0])


async def test_a_key_of_another_tenant_is_not_there(router) -> None:
    """It can neither be seen nor revoked."""
    made = (await router.acme.post("/v1/keys", json={"scopes": ["admin"]})).json()
    assert 404 == (await router.globex.delete(f"/v1/keys/{made['id']}")).status_code
    assert made["id"] not in (await router.globex.get("/v1/keys")).text


@pytest.mark.parametrize(
    "body", [{}, {"scopes": []}, {"scopes": ["everything"]}, {"scopes": ["admin"], "label": "a" * 201}]
)
async def test_a_wrong_key_request_is_refused(router, body: dict[str, object]) -> None:
    """Scopes are a closed set."""
    assert 422 == (await router.acme.post("/v1/keys", json=body)).status_code
