"""The page behind a link in a real browser: on a phone, without scripts, by touch and by keyboard alone (R11, R28)."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from playwright.async_api import Browser

from tests.integration.escalation import browser as browsers
from tests.integration.escalation.browser import phone, serving
from tests.integration.escalation.links import DUE, gather, paged, path_of

NARROW, USUAL = 320, 390


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of this file."""
    async with browsers.launched() as made:
        yield made


@pytest.mark.parametrize("width", [NARROW, USUAL])
async def test_r11_ana_reads_acknowledges_snoozes_and_gives_back_by_touch(world, clock_control, browser, width):
    """Each press says what came of it, and the page is one that everybody can read."""
    link = await paged(world, clock_control)
    async with serving(world) as address, phone(browser, address, width) as ana:
        await ana.open(link)
        assert "First response of ticket 881: 1 s late" == await ana.heading()
        assert [] == await ana.faults()
        assert "Owner\nnobody" in (await ana.text()).replace("\n\n", "\n")
        assert "Ben at 2026-06-01 09:10:00 UTC" in await ana.text()
        assert ["open"] == [one["state"] for one in await world.escalations()]

        await ana.press("Acknowledge: I take care of it")
        assert "It is yours now. Nobody else is paged." == await ana.status()
        assert [] == await ana.faults()
        await ana.press("1 hour")
        assert "you are paged again at 2026-06-01 10:00:01 UTC" in await ana.status()
        await ana.press("Give it back")
        assert "You gave it back. The next level is paged now." == await ana.status()
        assert [] == await ana.buttons()
        assert [] == await ana.faults()
    [one] = await world.escalations()
    assert ("open", None) == (one["state"], one["acknowledged_by"])


async def test_r11_the_keyboard_alone_is_enough(world, clock_control, browser):
    """Tab shows where one is, Enter presses."""
    link = await paged(world, clock_control)
    async with serving(world) as address, phone(browser, address) as ana:
        await ana.open(link)
        await ana.press_by_key("15 minutes")
        assert "you are paged again at 2026-06-01 09:15:01 UTC" in await ana.status()
        await ana.press_by_key("Give it back")
        assert "The next level is paged now" in await ana.status()


async def test_r10_ben_comes_second_and_a_resolved_one_stays_so(world, clock_control, browser):
    """Ben learns who was first, and can do nothing; after its end there is nothing left to do."""
    link = await paged(world, clock_control)
    await clock_control.advance(minutes=10)
    await world.drain()
    second = path_of(world.provider.sent[-1].link)
    async with serving(world) as address, phone(browser, address) as ana, phone(browser, address) as ben:
        await ben.open(second)
        await ana.open(link)
        await ana.press("Acknowledge: I take care of it")
        await ben.press("Acknowledge: I take care of it")
        assert "Ana acknowledged it at 2026-06-01 09:10:01 UTC." == await ben.status()
        assert [] == await ben.buttons()
        assert [] == await ben.faults()
        await world.pool.execute(
            "UPDATE escalation SET state = 'resolved', resolved_at = $1, resolution = 'answered'", DUE
        )
        await ana.press("Give it back")
        assert "nothing left to do" in await ana.status()
        assert "Resolved: ticket 881" == await ana.heading()
        assert [] == await ana.buttons() + await ana.faults()


async def test_r28_a_group_is_taken_over_as_it_was_shown(world, clock_control, browser):
    """Twelve tickets are listed; the thirteenth joins before the press, and stays open."""
    await world.people("ana", "ben", "head")
    for number in range(13):
        await world.ticket(f"T-{number}", due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(minutes=90))
    await world.firing.run_once()
    await world.stepping.run_once()
    made = await world.pages()
    escalations = list(dict.fromkeys(page["escalation_id"] for page in made))
    group_id = await gather(world, escalations[:12])
    [first] = await world.pool.fetch("SELECT id FROM page WHERE group_version = 1")
    async with serving(world) as address, phone(browser, address) as ana:
        await ana.open(f"/v1/ack/{world.tokens.token(first['id'])}")
        assert "12 tickets, 12 of them nobody has yet" == await ana.heading()
        assert [] == await ana.faults()
        await world.pool.execute("UPDATE page SET group_id = $1, group_version = 13 WHERE group_id IS NULL", group_id)
        await world.pool.execute("UPDATE page_group SET members = 13")
        await ana.press("Acknowledge all 12")
        assert "It is yours now (12 tickets). Nobody else is paged." == await ana.status()
        assert "13 tickets, 1 of them nobody has yet" == await ana.heading()
        assert [] == await ana.faults()
    assert ["acknowledged"] * 12 + ["open"] == sorted(one["state"] for one in await world.escalations())


def test_where_there_is_no_browser_it_says_what_to_install(monkeypatch):
    """Skipped on a machine of somebody's own, a failure where one is required."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(browsers.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="package `chromium`"):
        browsers.program()
    monkeypatch.setenv(browsers.REQUIRED, "required")
    with pytest.raises(pytest.fail.Exception, match="package `chromium`"):
        browsers.program()


async def test_the_audit_finds_what_would_keep_somebody_out(browser):
    """Or an empty list of faults would mean nothing."""
    bad = (
        "<body><h1 style='color:#999'>Pale</h1><h3>Skipped</h3><form><input name='x'><button style='height:20px'>Small"
        "</button></form><div style='width:900px'>Wide</div><script>1</script></body>"
    )
    page = await browser.new_page(viewport={"width": NARROW, "height": 640}, java_script_enabled=False)
    await page.set_content(bad)
    found = "; ".join(await browsers.Phone(page, "").faults())
    await page.close()
    for fault in (
        "no language",
        "main landmark",
        "a heading is skipped",
        "no label",
        "too small",
        "sideways",
        "contrast",
        "SCRIPT",
    ):
        assert fault in found
