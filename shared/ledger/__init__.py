"""Tickets, their events and clocks, keys and policies in SQL: what both services read or write."""

from shared.postgres import queries

QUERIES = queries.load(__name__)
