"""The router's SQL: one file per noun, all queries in `services/router/sql`."""

from shared.postgres import queries

QUERIES = queries.load("services.router.sql")
