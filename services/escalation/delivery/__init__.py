"""The way of a page to somebody: claimed, sent, concluded, tried another way, and alarmed about when it is given up."""
