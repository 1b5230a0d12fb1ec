"""What the providers here let in: made up, and in the form of the real ones."""

PAGERDUTY_KEY = "0123456789abcdef0123456789abcdef"
JSM_KEY = "11111111-2222-4333-8444-555555555555"
SLACK_TOKEN = "xoxb-not-a-real-token"
SLACK_CHANNEL = "C024BE91L"
TEAMS_SIGNATURE = "made-up-signature-of-a-workflow"
TEAMS_PATH = f"/workflows/42/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={TEAMS_SIGNATURE}"
NTFY_TOKEN = "tk_madeupmadeupmadeupmadeupmade"
NTFY_TOPIC = "deskclock-pages"
TWILIO_SID = "AC00000000000000000000000000000001"
TWILIO_TOKEN = "made-up-auth-token"
TWILIO_NUMBER = "+15005550006"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def environment(base: str) -> dict[str, str]:
    """Secrets of a Deskclock that pages these providers; `base` is where they listen."""
    return {
        "DESKCLOCK_SECRET_PAGERDUTY": PAGERDUTY_KEY,
        "DESKCLOCK_SECRET_JSM": JSM_KEY,
        "DESKCLOCK_SECRET_SLACK": SLACK_TOKEN,
        "DESKCLOCK_SECRET_TEAMS": f"{base}/teams{TEAMS_PATH}",
        "DESKCLOCK_SECRET_NTFY": NTFY_TOKEN,
        "DESKCLOCK_SECRET_TWILIO": f"{TWILIO_SID}:{TWILIO_TOKEN}",
        "DESKCLOCK_SECRET_WEBHOOK": WEBHOOK_SECRET,
    }
