-- migrate:up

-- Time. Everything that decides about a promise asks deskclock_now(). It is the database's clock, unless a test or the
-- demo has warped it: then `virtual_anchor` was the time at `real_anchor`, and `rate` seconds pass in one.
CREATE TABLE time_warp (
    singleton      boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    real_anchor    timestamptz NOT NULL,
    virtual_anchor timestamptz NOT NULL,
    rate           double precision NOT NULL CHECK (rate >= 0)
);

CREATE FUNCTION deskclock_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(
        (SELECT virtual_anchor + (clock_timestamp() - real_anchor) * rate FROM time_warp),
        clock_timestamp())
$$;

-- Whether somebody on the roster gets work at an instant (rule C1): they say so, and nothing speaks against it. The only
-- place that decides it, so that nobody whose shift or lease has ended is given anything, whether or not a loop has noticed.
CREATE FUNCTION deskclock_is_there(status text, presence text, present_until timestamptz, at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT status = 'online' AND (presence = 'manual' OR coalesce(present_until > at, false))
$$;

-- Whether they have gone by then, so that what they have is somebody else's before long. Who is away for a while has not.
CREATE FUNCTION deskclock_is_gone(active boolean, status text, presence text, present_until timestamptz, at timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT NOT active OR status = 'offline' OR presence <> 'manual' AND coalesce(present_until <= at, true)
$$;

-- What was decided: policies and rosters, every version kept. Writer: router.
CREATE TABLE policy_version (
    tenant     text NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    source     text NOT NULL,              -- the file as it was given
    document   jsonb NOT NULL,             -- the same with holidays resolved to dates, so that no upgrade moves a deadline
    applied_at timestamptz NOT NULL,
    applied_by text NOT NULL,
    holds_from timestamptz,                -- for tickets that arrive from then on; null: from the commit on
    PRIMARY KEY (tenant, version)
);

-- A version on its way to tickets that are open already; how far it has come. Writer: router.
CREATE TABLE policy_rollout (
    id          uuid PRIMARY KEY,
    tenant      text NOT NULL,
    version     integer NOT NULL,
    scope       text NOT NULL CHECK (scope IN ('open', 'since')),
    at          timestamptz NOT NULL,      -- when it was applied: what holds for open tickets from then on
    opened_from timestamptz,               -- scope `since`: for tickets opened from then on, as though it had always held
    rejudges    boolean NOT NULL,          -- the version was there before: its own tickets are judged again too
    state       text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'stopped')),
    seen_at     timestamptz,               -- by the real clock: who began before then may still go by an older version
    cursor      uuid NOT NULL,             -- the last ticket that is done
    total       bigint,                    -- counted when it begins
    done        bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0, -- tickets that keep their version because of a fault
    recomputed  bigint NOT NULL DEFAULT 0, -- the others can't have moved
    earlier     bigint NOT NULL DEFAULT 0, -- clocks, by what became of them
    later       bigint NOT NULL DEFAULT 0,
    started     bigint NOT NULL DEFAULT 0,
    cancelled   bigint NOT NULL DEFAULT 0,
    breached    bigint NOT NULL DEFAULT 0,
    retracted   bigint NOT NULL DEFAULT 0,
    touched_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    CHECK ((scope = 'since') = (opened_from IS NOT NULL)),
    CHECK ((state = 'running') = (finished_at IS NULL))
);
CREATE INDEX policy_rollout_listed ON policy_rollout (tenant, id);
CREATE INDEX policy_rollout_running ON policy_rollout (tenant, version, id) WHERE state = 'running';

-- A candidate policy that is tried beside the one in force. Its clocks are in tables of their own, so that nothing that
-- fires, pages or publishes can come by them. Writer: router.
CREATE TABLE policy_shadow (
    id         uuid PRIMARY KEY,
    tenant     text NOT NULL,
    source     text NOT NULL,              -- the file as it was given
    document   jsonb NOT NULL,             -- the same with holidays resolved to dates
    started_at timestamptz NOT NULL,       -- it is tried on tickets opened from then on
    started_by text NOT NULL,
    state      text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'failed', 'stopped')),
    failure    text,                       -- why it can't be tried
    tickets    bigint NOT NULL DEFAULT 0,  -- on how many it was
    stopped_at timestamptz,                -- by the real clock
    CHECK (state <> 'failed' OR failure IS NOT NULL),
    CHECK ((state = 'stopped') = (stopped_at IS NOT NULL))
);
CREATE UNIQUE INDEX policy_shadow_present ON policy_shadow (tenant) WHERE state <> 'stopped';

-- Tickets of which a candidate has something new to hear; written with the events, taken out when it has heard.
CREATE TABLE shadow_mark (
    tenant    text NOT NULL,
    id        bigint GENERATED ALWAYS AS IDENTITY,
    ticket_id uuid NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE shadow_ticket (
    shadow_id uuid NOT NULL,
    ticket_id uuid NOT NULL,
    PRIMARY KEY (shadow_id, ticket_id)
);

CREATE TABLE shadow_clock (
    shadow_id   uuid NOT NULL,
    ticket_id   uuid NOT NULL,
    target      text NOT NULL,
    cycle       integer NOT NULL CHECK (cycle > 0),
    matched     text NOT NULL,
    state       text NOT NULL CHECK (state IN ('running', 'paused', 'breached', 'met', 'cancelled')),
    started_at  timestamptz NOT NULL,
    due_at      timestamptz,
    late_from   timestamptz,
    breached_at timestamptz,
    detected_at timestamptz,
    met_at      timestamptz,
    ended_at    timestamptz,
    open_used   interval NOT NULL,
    next_at     timestamptz,               -- when time breaks it; null where it can't
    PRIMARY KEY (shadow_id, ticket_id, target, cycle)
);
CREATE INDEX shadow_clock_due ON shadow_clock (shadow_id, next_at) WHERE next_at IS NOT NULL;

CREATE TABLE roster_version (
    tenant     text NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    source     text NOT NULL,
    applied_at timestamptz NOT NULL,
    applied_by text NOT NULL,
    PRIMARY KEY (tenant, version)
);

-- Who there is. Writer: router.
CREATE TABLE agent (
    tenant             text NOT NULL,
    key                text NOT NULL,
    name               text NOT NULL,
    active             boolean NOT NULL DEFAULT true,     -- still on the roster
    skills             jsonb NOT NULL DEFAULT '{}',       -- {"billing": 4}
    channels           text[] NOT NULL DEFAULT '{}',      -- empty: on the roster to be paged only
    capacity           integer NOT NULL DEFAULT 12 CHECK (capacity >= 0),
    at_most            jsonb NOT NULL DEFAULT '{}',       -- {"live_chat": 2}: tickets of a channel at a time
    pools              text[] NOT NULL DEFAULT '{}',      -- empty: all of them
    presence           text NOT NULL DEFAULT 'manual' CHECK (presence IN ('manual', 'shift', 'lease')),
    calendar           text,                              -- when a shift is, by the policy
    status             text NOT NULL DEFAULT 'offline' CHECK (status IN ('online', 'away', 'offline')),
    closed_channels    text[] NOT NULL DEFAULT '{}',      -- what they don't take just now
    present_until      timestamptz,                       -- end of the shift or of the lease; without meaning for `manual`
    next_present_at    timestamptz,                       -- when the next shift begins; null: not known
    gone_at            timestamptz,                       -- since when they have gone; null: they have not, or nobody has noticed yet
    expired_offers     integer NOT NULL DEFAULT 0 CHECK (expired_offers >= 0), -- in a row
    lead               text,
    contacts           jsonb NOT NULL DEFAULT '[]',
    timezone           text,                              -- of their quiet hours
    quiet_hours        text,                              -- "22:00-07:00": what is of low urgency waits (escalation-rules R24)
    primary_used       integer NOT NULL DEFAULT 0 CHECK (primary_used >= 0),
    interruptible_used integer NOT NULL DEFAULT 0 CHECK (interruptible_used >= 0),
    calls              integer NOT NULL DEFAULT 0 CHECK (calls >= 0), -- on the phone: no new work
    over_capacity      boolean NOT NULL DEFAULT false,    -- set only by an assignment by hand, which is obeyed
    last_assigned_at   timestamptz,
    PRIMARY KEY (tenant, key),
    CHECK (over_capacity OR primary_used <= capacity),
    CHECK (over_capacity OR primary_used + interruptible_used <= 2 * capacity),
    CHECK ((presence = 'shift') = (calendar IS NOT NULL)),
    CHECK (presence <> 'manual' OR present_until IS NULL),
    CHECK (presence = 'shift' AND active OR next_present_at IS NULL)
);
CREATE INDEX agent_gone ON agent (tenant, key) WHERE gone_at IS NOT NULL;
CREATE INDEX agent_present ON agent (present_until) WHERE present_until IS NOT NULL AND gone_at IS NULL;
CREATE INDEX agent_next_present ON agent (next_present_at) WHERE next_present_at IS NOT NULL;

-- A ticket is its event log; the columns are what the fold last said. Writer: router.
CREATE TABLE ticket (
    id             uuid PRIMARY KEY,
    tenant         text NOT NULL,
    source         text NOT NULL,
    external_id    text NOT NULL,
    status         text NOT NULL,
    opened_at      timestamptz,            -- null while only later events have arrived
    solved_at      timestamptz,
    channel        text,
    urgency        text,
    theme          text,
    language       text,
    subject        text,
    requester_key  text,
    requester_tier text,
    team           text,                   -- whom the helpdesk last handed it to; null: nobody
    matched        text,                   -- the target line; null: no target
    needs          jsonb NOT NULL DEFAULT '[]',
    prefers        text[] NOT NULL DEFAULT '{}',
    insists        jsonb NOT NULL DEFAULT '[]', -- groups of preferred skills that are needed for a while
    rules          text[] NOT NULL DEFAULT '{}',
    pool           text NOT NULL DEFAULT 'default',
    policy_version integer NOT NULL,
    UNIQUE (tenant, source, external_id)
);
CREATE INDEX ticket_listed ON ticket (tenant, id);
CREATE INDEX ticket_open ON ticket (tenant, channel, urgency) WHERE status IN ('open', 'pending_customer', 'on_hold');

-- Which tickets a customer has had, of tenants whose policy gives them to whoever had the last one: written from then on,
-- so that others pay nothing for it. Writer: router.
CREATE TABLE customer_ticket (
    tenant        text NOT NULL,
    requester_key text NOT NULL,
    ticket_id     uuid NOT NULL,
    PRIMARY KEY (tenant, requester_key, ticket_id)
);

CREATE TABLE ticket_event (
    ticket_id   uuid NOT NULL,
    event_id    text NOT NULL,
    tenant      text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    data        jsonb NOT NULL,            -- with its "kind"
    PRIMARY KEY (ticket_id, event_id),
    UNIQUE (tenant, event_id)
);

-- One row per running promise; finished ones move out, so that the index of what is due stays small.
-- Writers: router when an event moves it, escalation when time does; both through shared/ledger, under the ticket's row lock.
CREATE TABLE clock (
    ticket_id      uuid NOT NULL,
    target         text NOT NULL,
    cycle          integer NOT NULL CHECK (cycle > 0),
    tenant         text NOT NULL,
    matched        text NOT NULL,
    policy_version integer NOT NULL,
    calendar       text NOT NULL,
    state          text NOT NULL CHECK (state IN ('running', 'paused', 'breached')),
    started_at     timestamptz NOT NULL,
    due_at         timestamptz,
    warn_at        timestamptz[] NOT NULL DEFAULT '{}',
    warned         smallint NOT NULL DEFAULT 0,
    warned_at      timestamptz,
    late_from      timestamptz,            -- a change of terms or the end of a pause found the due time passed: late from then on
    breached_at    timestamptz,
    detected_at    timestamptz,
    open_used      interval NOT NULL DEFAULT '0',
    escalate       text,
    next_fire_at   timestamptz,
    PRIMARY KEY (ticket_id, target, cycle),
    CHECK ((state = 'paused') = (due_at IS NULL)),
    CHECK ((state = 'breached') = (breached_at IS NOT NULL)),
    CHECK (state = 'running' OR next_fire_at IS NULL)
);
CREATE INDEX clock_due ON clock (next_fire_at) WHERE next_fire_at IS NOT NULL;
CREATE INDEX clock_ownership ON clock (ticket_id) WHERE target IN ('ownership', 'internal_ownership');

CREATE TABLE clock_finished (
    ticket_id      uuid NOT NULL,
    target         text NOT NULL,
    cycle          integer NOT NULL,
    tenant         text NOT NULL,
    matched        text NOT NULL,
    policy_version integer NOT NULL,
    calendar       text NOT NULL,
    state          text NOT NULL CHECK (state IN ('met', 'breached', 'cancelled')),
    started_at     timestamptz NOT NULL,
    due_at         timestamptz,
    warned         smallint NOT NULL,
    warned_at      timestamptz,
    breached_at    timestamptz,
    detected_at    timestamptz,
    met_at         timestamptz,
    ended_at       timestamptz NOT NULL,
    open_used      interval NOT NULL,
    wall_used      interval NOT NULL,
    escalate       text,
    PRIMARY KEY (ticket_id, target, cycle),
    CHECK ((state = 'cancelled') = (met_at IS NULL))
);
CREATE INDEX clock_finished_verdict ON clock_finished (tenant, (coalesce(breached_at, met_at)));

-- Who has it, and who waits. Writer: router.
CREATE TABLE pool (
    tenant text NOT NULL,
    name   text NOT NULL,
    dirty  bigint NOT NULL DEFAULT 0,      -- moves when somebody found the pool locked; the holder then runs again
    PRIMARY KEY (tenant, name)
);

CREATE TABLE queued (
    ticket_id       uuid PRIMARY KEY,
    tenant          text NOT NULL,
    pool            text NOT NULL,
    channel         text NOT NULL,
    units           integer NOT NULL CHECK (units > 0),
    interruptible   boolean NOT NULL,
    needs           jsonb NOT NULL,
    prefers         text[] NOT NULL,
    signature       bigint NOT NULL,       -- of (channel, needs): tickets the same people can take
    urgency_rank    smallint NOT NULL,
    queued_at       timestamptz NOT NULL,  -- first time; kept over re-queueing
    due_at          timestamptz NOT NULL,  -- of the response still owed
    latest_start_at timestamptz NOT NULL,  -- after that: late
    rescue_at       timestamptz NOT NULL,  -- after that: rescue
    band            smallint NOT NULL CHECK (band IN (0, 1, 2)),
    order_rank      smallint NOT NULL,
    order_at        timestamptz NOT NULL,
    previous_owner  text,
    affinity_until  timestamptz,
    excluded        text[] NOT NULL DEFAULT '{}',
    insists         jsonb NOT NULL DEFAULT '[]', -- preferred skills that are insisted upon, in groups; `needs` holds them too
    relax_at        timestamptz[] NOT NULL DEFAULT '{}', -- when the last of these groups is given up, one after the other
    overflow_pool   text,                  -- may be taken there too, from then on
    overflow_at     timestamptz,
    guest_of        text,                  -- the same pool, once that time has come
    was_cleared     boolean NOT NULL DEFAULT false, -- all had declined, and were asked once more
    is_asked        boolean NOT NULL DEFAULT false, -- help was asked for: there may be a request or an escalation of it
    reason          text NOT NULL DEFAULT 'new'
                    CHECK (reason IN ('new', 'no_skill', 'offline', 'full', 'fragmented', 'excluded')),
    reason_at       timestamptz,           -- since when it waits for that; null: nobody has looked yet
    CHECK ((reason = 'new') = (reason_at IS NULL)),
    CHECK ((overflow_pool IS NULL) = (overflow_at IS NULL)),
    CHECK (overflow_pool <> pool),
    CHECK (guest_of = overflow_pool OR guest_of IS NULL)
);
CREATE INDEX queued_relax ON queued (tenant, pool, (relax_at[1])) WHERE relax_at <> '{}';
CREATE INDEX queued_overflow ON queued (tenant, pool, overflow_at) WHERE overflow_pool IS NOT NULL AND guest_of IS NULL;
CREATE INDEX queued_guest ON queued (tenant, guest_of, signature, band, order_rank, order_at, queued_at, ticket_id)
    WHERE guest_of IS NOT NULL;
CREATE INDEX queued_order ON queued (tenant, pool, signature, band, order_rank, order_at, queued_at, ticket_id);
CREATE INDEX queued_late ON queued (tenant, pool, latest_start_at) WHERE band = 1;
CREATE INDEX queued_rescue ON queued (tenant, pool, rescue_at) WHERE band = 2;
CREATE INDEX queued_new ON queued (tenant, pool) WHERE reason = 'new';
CREATE INDEX queued_unskilled ON queued (tenant, pool) WHERE reason = 'no_skill';

-- The pools of a tenant in which somebody waits, and those whose agents may take one of another pool: one index probe each.
CREATE FUNCTION deskclock_waiting_pools(of_tenant text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE place (pool) AS (
        (SELECT pool FROM queued WHERE tenant = of_tenant ORDER BY pool LIMIT 1)
        UNION ALL
        SELECT following.pool FROM place CROSS JOIN LATERAL (
            SELECT q.pool FROM queued q WHERE q.tenant = of_tenant AND q.pool > place.pool ORDER BY q.pool LIMIT 1) following
    ), host (pool) AS (
        (SELECT guest_of FROM queued WHERE tenant = of_tenant AND guest_of IS NOT NULL ORDER BY guest_of LIMIT 1)
        UNION ALL
        SELECT following.guest_of FROM host CROSS JOIN LATERAL (
            SELECT q.guest_of FROM queued q WHERE q.tenant = of_tenant AND q.guest_of > host.pool
            ORDER BY q.guest_of LIMIT 1) following
    )
    SELECT pool FROM place UNION SELECT pool FROM host
$$;

CREATE TABLE assignment (
    id            uuid PRIMARY KEY,
    tenant        text NOT NULL,
    ticket_id     uuid NOT NULL,
    agent         text NOT NULL,
    pool          text NOT NULL,
    channel       text NOT NULL DEFAULT 'other',
    units         integer NOT NULL,
    interruptible boolean NOT NULL,
    by_hand       boolean NOT NULL DEFAULT false, -- or to the policy's `fallback`: no timer and no absence takes it away
    state         text NOT NULL DEFAULT 'active' CHECK (state IN ('offered', 'active', 'parked')), -- a parked one takes no units
    assigned_at   timestamptz NOT NULL,
    accepted_at   timestamptz,             -- null: only offered, so that nobody owns the ticket
    touched_at    timestamptz,             -- when the agent first did something with it
    offered_until timestamptz,             -- then the offer lapses
    act_by        timestamptz,             -- then it goes back to the queue, unless it was touched
    park_at       timestamptz,             -- then it is parked, unless somebody writes
    next_at       timestamptz GENERATED ALWAYS AS (CASE WHEN ended_at IS NULL THEN least(offered_until, act_by, park_at) END) STORED,
    queued_at     timestamptz,             -- its age, should it go back to the queue
    excluded      text[] NOT NULL DEFAULT '{}', -- who declined it before, or let it lapse
    was_cleared   boolean NOT NULL DEFAULT false,
    ended_at      timestamptz,
    end_reason    text,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CHECK ((offered_until IS NULL) = (state <> 'offered')),
    CHECK ((state = 'offered') = (accepted_at IS NULL) OR ended_at IS NOT NULL)
);
CREATE INDEX assignment_offered ON assignment (tenant, agent) WHERE state = 'offered' AND ended_at IS NULL;
CREATE INDEX assignment_next ON assignment (next_at) WHERE next_at IS NOT NULL;
CREATE UNIQUE INDEX assignment_active ON assignment (ticket_id) WHERE ended_at IS NULL;
CREATE INDEX assignment_agent ON assignment (tenant, agent) WHERE ended_at IS NULL;
CREATE INDEX assignment_ticket ON assignment (ticket_id);

-- When the next shift begins of somebody who may take such a ticket; null where that is not known.
CREATE FUNCTION next_shift_at(of_tenant text, in_pool text, by_channel text, with_needs jsonb, without text[])
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT min(g.next_present_at) FROM agent g
    WHERE g.tenant = of_tenant AND g.active AND g.next_present_at > deskclock_now() AND by_channel = ANY (g.channels)
      AND (g.pools = '{}' OR in_pool = ANY (g.pools)) AND g.key <> ALL (without)
      AND NOT EXISTS (SELECT FROM jsonb_array_elements(with_needs) n
                      WHERE coalesce((g.skills ->> (n.value ->> 0))::integer, 0) < (n.value ->> 1)::integer)
$$;

-- How long tickets waited for an owner, and why: a row for each stretch of one reason but `new`, written by the statement
-- that ends it; kept as long as the report of missing staff looks back. Writer: router.
CREATE TABLE wait (
    tenant    text NOT NULL,
    ticket_id uuid NOT NULL,
    pool      text NOT NULL,
    channel   text NOT NULL,
    needs     jsonb NOT NULL,              -- with what was insisted upon just then
    units     integer NOT NULL,
    reason    text NOT NULL,
    since     timestamptz NOT NULL,
    until     timestamptz NOT NULL,
    CHECK (since <= until)
);
CREATE INDEX wait_ended ON wait (tenant, until);

-- Help that the router asks for: escalation takes a row out when its time has come, and opens an escalation; the router
-- takes out those that have become moot. Writers: both.
CREATE TABLE escalation_request (
    id        uuid PRIMARY KEY,
    tenant    text NOT NULL,
    ticket_id uuid NOT NULL,
    reason    text NOT NULL CHECK (reason IN ('unroutable', 'manual')),
    due_at    timestamptz NOT NULL,
    about     jsonb NOT NULL               -- why help is needed, for whoever is paged
);
CREATE INDEX escalation_request_due ON escalation_request (due_at);
CREATE UNIQUE INDEX escalation_request_ticket ON escalation_request (ticket_id, reason);

-- Trained models that score what customers write. Writer: router.
CREATE TABLE model (
    tenant     text NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    state      text NOT NULL CHECK (state IN ('added', 'shadow', 'promoted', 'retired')),
    weights    bytea NOT NULL,             -- the file as `deskclock train` wrote it
    report     jsonb NOT NULL,             -- its header: how it did on texts it had not seen
    added_at   timestamptz NOT NULL,
    added_by   text NOT NULL,
    changed_at timestamptz NOT NULL,
    promoted_at timestamptz,               -- when it was last put in force; a rollback goes back by it
    PRIMARY KEY (tenant, version)
);
CREATE UNIQUE INDEX model_shadow ON model (tenant) WHERE state = 'shadow';
CREATE UNIQUE INDEX model_promoted ON model (tenant) WHERE state = 'promoted';

-- What models made of tickets, whether it was used or not: to compare with rules and people. Writer: router.
CREATE TABLE model_score (
    tenant             text NOT NULL,
    version            integer NOT NULL,
    ticket_id          uuid NOT NULL,
    theme              text,
    theme_confidence   double precision NOT NULL,
    urgency            text,
    urgency_confidence double precision NOT NULL,
    scored_at          timestamptz NOT NULL,
    PRIMARY KEY (tenant, version, ticket_id)
);
CREATE INDEX model_score_age ON model_score (scored_at);

-- What somebody who read a ticket made of it, where rules or model had said otherwise: examples to learn from. Writer: router.
CREATE TABLE correction (
    tenant    text NOT NULL,
    ticket_id uuid NOT NULL,
    event_id  text NOT NULL,
    field     text NOT NULL CHECK (field IN ('theme', 'urgency')),
    was       text NOT NULL,
    now       text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (tenant, event_id, field)
);
CREATE INDEX correction_ticket ON correction (tenant, ticket_id, field, at);

-- What happens when a promise is about to break, or breaks. Writer: escalation; the ledger resolves one in the
-- transaction that keeps its promise.
CREATE TABLE escalation (
    id              uuid PRIMARY KEY,
    tenant          text NOT NULL,
    ticket_id       uuid NOT NULL,
    target          text NOT NULL,
    cycle           integer NOT NULL,
    generation      integer NOT NULL DEFAULT 1,
    policy_version  integer NOT NULL,
    ladder          text NOT NULL,
    reason          text NOT NULL CHECK (reason IN ('warned', 'breached', 'manual', 'unroutable')),
    state           text NOT NULL CHECK (state IN ('open', 'acknowledged', 'exhausted', 'resolved')),
    opened_at       timestamptz NOT NULL,
    anchor_at       timestamptz NOT NULL,            -- what the steps are planned from (R2): when the promise broke, or,
    since_loop      integer,                         -- where these are set, when this step was to be taken: it went on there
    since_step      integer,
    step            integer NOT NULL DEFAULT 0,      -- the next one to take
    loop            integer NOT NULL DEFAULT 0,
    next_step_at    timestamptz,
    is_replanned    boolean NOT NULL DEFAULT false,  -- anchor or ladder changed: stepping works out anew when the next step is due
    also            text[] NOT NULL DEFAULT '{}',    -- recipients whom the next step pages besides its own (R12)
    raised_by       text,                            -- who sent it up by hand, and why, until the step is taken (R8)
    raised_for      text,
    acknowledged_by text,
    acknowledged_at timestamptz,
    resolved_at     timestamptz,
    resolution      text,
    about           jsonb,                 -- of the target `routing`: why help is needed; null for a promise
    answered        text[] NOT NULL DEFAULT '{}',    -- of a step that all must answer: who has (R6)
    held_for        interval,              -- while its promise is paused: what was left until the next step, or until it wakes (R15)
    hands_over_at   timestamptz,           -- when the shift of somebody whom the newest step paged ends, where that matters (R13)
    wakes_at        timestamptz,           -- an acknowledged one goes up again then (R12, R16)
    wakes_for       text CHECK (wakes_for IN ('snooze', 'silence')),
    ends_at         timestamptz,           -- the hard end: nobody may have acknowledged and forgotten it for longer (R12)
    CHECK ((target = 'routing') = (about IS NOT NULL)),
    CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CHECK (state = 'open' OR next_step_at IS NULL),
    CHECK ((since_loop IS NULL) = (since_step IS NULL)),
    CHECK (wakes_at IS NULL OR wakes_for IS NOT NULL),
    CHECK (wakes_for IS NULL OR state = 'acknowledged')
);
CREATE UNIQUE INDEX escalation_live ON escalation (ticket_id, target, cycle) WHERE state <> 'resolved';
CREATE INDEX escalation_ticket ON escalation (ticket_id);
CREATE INDEX escalation_due ON escalation (next_step_at) WHERE next_step_at IS NOT NULL;
CREATE INDEX escalation_wakes ON escalation (wakes_at) WHERE wakes_at IS NOT NULL;
CREATE INDEX escalation_ends ON escalation (ends_at) WHERE ends_at IS NOT NULL AND state <> 'resolved';
CREATE INDEX escalation_hands_over ON escalation (hands_over_at) WHERE hands_over_at IS NOT NULL AND state <> 'resolved';
CREATE INDEX escalation_over ON escalation (ticket_id, target, resolved_at) WHERE state = 'resolved';
CREATE INDEX escalation_recent ON escalation (tenant, opened_at);

-- What people answered: by a page's link or by API key, in their order. Writer: escalation.
CREATE TABLE escalation_answer (
    n             bigint GENERATED ALWAYS AS IDENTITY,
    escalation_id uuid NOT NULL REFERENCES escalation,
    at            timestamptz NOT NULL,
    action        text NOT NULL CHECK (action IN ('acknowledge', 'snooze', 'hand_back')),
    by            text NOT NULL,
    generation    integer NOT NULL,
    until_at      timestamptz,             -- of a snooze: when it goes up again
    page_id       uuid                     -- whose link it was; null by API key
);
CREATE INDEX escalation_answer_of ON escalation_answer (escalation_id, at, n);

-- Pages to the same recipient about the same thing: the first goes at once, the others of a while are told together (R27).
-- Writer: escalation.
CREATE TABLE page_group (
    id           uuid PRIMARY KEY,
    tenant       text NOT NULL,
    who          text NOT NULL,                   -- person, or recipient of a channel
    recipient    text NOT NULL,
    person       text,
    kind         text NOT NULL CHECK (kind IN ('warning', 'page', 'digest')),
    urgency      text NOT NULL,
    step         integer NOT NULL,
    opened_at    timestamptz NOT NULL,
    closes_at    timestamptz NOT NULL,
    open_for     interval NOT NULL,               -- its window, and that of the group that follows
    next_at      timestamptz,                     -- when those that were not told yet are looked at
    members      integer NOT NULL DEFAULT 0,      -- its version: pages are numbered as they join
    told         integer NOT NULL DEFAULT 0,      -- the version that its newest page shows
    told_at      timestamptz,                     -- when its summary was made: one in each window
    acknowledged integer NOT NULL DEFAULT 0,      -- the version that somebody took over (R28)
    is_open      boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX page_group_open ON page_group (tenant, who, kind, urgency, step) WHERE is_open;
CREATE INDEX page_group_next ON page_group (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE page (
    id              uuid PRIMARY KEY,                -- of (escalation, generation, step, loop, recipient, method): the key providers dedupe on
    tenant          text NOT NULL,
    escalation_id   uuid REFERENCES escalation,      -- null: of a whole group, a canary, or an alarm about ourselves
    group_id        uuid REFERENCES page_group,
    group_version   integer,                         -- its number in the group; of a page about a group, the version it shows
    told_by         uuid,                            -- the page about the group that names it
    kind            text NOT NULL CHECK (kind IN ('warning', 'page', 'resolve', 'summary', 'digest', 'copy', 'canary', 'alarm')),
    urgency         text NOT NULL DEFAULT 'normal',
    step            integer NOT NULL,
    loop            integer NOT NULL,
    recipient       text NOT NULL,                   -- as the policy wrote it
    person          text,                            -- whom that was at that instant
    method          text NOT NULL,
    address         text NOT NULL,
    secret          text NOT NULL DEFAULT '',        -- a reference, never the secret
    options         jsonb NOT NULL DEFAULT '{}',     -- what else its contact says
    account         text NOT NULL DEFAULT '',        -- of the provider: throttled, and found broken, as one (R29, R38)
    evidence        jsonb NOT NULL,                  -- rotation, shift bounds, policy version
    body            jsonb NOT NULL,
    state           text NOT NULL CHECK (state IN ('pending', 'grouped', 'sending', 'accepted', 'failed', 'cancelled')),
    due_at          timestamptz NOT NULL,
    committed_at    timestamptz NOT NULL,
    attempted_at    timestamptz,
    accepted_at     timestamptz,
    delivered_at    timestamptz,
    acknowledged_at timestamptz,
    replayed_at     timestamptz,                     -- given up, and tried anew from then on (R39)
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    fallback_at     timestamptz,                     -- when the next contact is tried beside it (R37)
    digest_at       timestamptz,                     -- not attempted by then, it is told in a digest instead (R30)
    priority        smallint NOT NULL GENERATED ALWAYS AS (
                        CASE WHEN kind = 'page' AND urgency = 'urgent' AND (loop, step) = (0, 0) THEN 0
                             WHEN kind IN ('resolve', 'copy') THEN 2 ELSE 1 END) STORED,   -- what is sent first (R29)
    deferred_until  timestamptz,                     -- held back until then, and why (R30)
    deferred_for    text CHECK (deferred_for IN ('throttle', 'retry_after', 'breaker', 'quiet_hours')),
    held_for        text,                            -- what its first attempt had to wait for: the ledger's (R30)
    provider_id     text,                            -- what the provider calls it: a message's SID, a request's id
    verify_by       timestamptz,                     -- accepted, but a receipt has to come by then, or another way is tried
    receipt         jsonb,                           -- what a receipt said of the attempt before: the outcome of the next, for which nothing is sent
    lease           uuid,
    lease_until     timestamptz,
    token_hash      bytea,
    CHECK ((state = 'sending') = (lease IS NOT NULL)),
    CHECK ((deferred_until IS NULL) = (deferred_for IS NULL))
);
CREATE INDEX page_due ON page (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX page_lane ON page (method, tenant, account, priority, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX page_fallback ON page (fallback_at) WHERE fallback_at IS NOT NULL;
CREATE INDEX page_stale ON page (digest_at) WHERE state = 'pending' AND attempts = 0 AND digest_at IS NOT NULL;
CREATE INDEX page_deferred ON page (deferred_for) WHERE deferred_for IS NOT NULL;
CREATE INDEX page_in_flight ON page (tenant, account) WHERE lease IS NOT NULL;
CREATE INDEX page_leased ON page (lease_until) WHERE lease IS NOT NULL;
CREATE INDEX page_escalation ON page (escalation_id);
CREATE INDEX page_recent ON page (tenant, committed_at);
CREATE INDEX page_failed ON page (tenant, committed_at) WHERE state = 'failed';
CREATE INDEX page_group_member ON page (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX page_unverified ON page (verify_by) WHERE verify_by IS NOT NULL;
CREATE UNIQUE INDEX page_token ON page (token_hash) WHERE token_hash IS NOT NULL;

CREATE TABLE page_attempt (
    page_id     uuid NOT NULL REFERENCES page,
    n           integer NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    outcome     text CHECK (outcome IN ('accepted', 'delivered', 'rejected', 'retryable', 'unknown')),
    detail      text,
    PRIMARY KEY (page_id, n)
);

-- How a provider's account stands for one tenant, shared by all replicas (R29, R37, R38). Writer: escalation.
CREATE TABLE sending_account (
    tenant      text NOT NULL,
    account     text NOT NULL,
    method      text NOT NULL,
    tokens      double precision NOT NULL,           -- infinite: nothing was sent yet
    refilled_at timestamptz NOT NULL,
    held_until  timestamptz,                         -- the provider asked for silence until then
    failures    integer NOT NULL DEFAULT 0,          -- in a row
    opened_at   timestamptz,                         -- the breaker is open since then
    probe_at    timestamptz,                         -- when one page may try it again
    PRIMARY KEY (tenant, account)
);

-- Somebody is on call in place of whose turn it is. Writer: escalation. Taken back ones stay, for what was paged by them (R26).
CREATE TABLE on_call_override (
    id           uuid PRIMARY KEY,
    tenant       text NOT NULL,
    rotation     text NOT NULL,
    person       text NOT NULL,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    made_at      timestamptz NOT NULL,
    made_by      text NOT NULL,
    withdrawn_at timestamptz,
    CHECK (starts_at < ends_at)
);
CREATE INDEX on_call_override_of ON on_call_override (tenant, rotation, ends_at);

-- Shifts that somebody else's calendar keeps, expanded when it was imported (R25). Writer: escalation.
CREATE TABLE on_call_feed (
    tenant     text NOT NULL,
    rotation   text NOT NULL,
    fetched_at timestamptz,                          -- the last good copy
    tried_at   timestamptz NOT NULL,
    failure    text,                                 -- of the last try
    version    integer NOT NULL DEFAULT 0,
    until_at   timestamptz,                          -- how far it was expanded
    PRIMARY KEY (tenant, rotation)
);
CREATE TABLE on_call_shift (
    tenant    text NOT NULL,
    rotation  text NOT NULL,
    person    text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at   timestamptz NOT NULL,
    CHECK (starts_at < ends_at)
);
CREATE INDEX on_call_shift_of ON on_call_shift (tenant, rotation, ends_at);

-- One row is what one transaction has to say; it is published after the commit and then deleted. Writers: both services.
CREATE TABLE outbox (
    id         uuid PRIMARY KEY,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    subjects   text[] NOT NULL,
    payloads   bytea[] NOT NULL,
    CHECK (cardinality(subjects) = cardinality(payloads))
);

-- Who may ask. Writer: router.
CREATE TABLE api_key (
    id            text PRIMARY KEY,
    tenant        text NOT NULL,
    secret_sha256 bytea NOT NULL,
    scopes        text[] NOT NULL,
    label         text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at    timestamptz
);
