-- migrate:up

-- A change of policy or urgency, or the end of a pause, can find a due time passed already: late from then on, not before.
ALTER TABLE clock ADD COLUMN late_from timestamptz;
