"""Whether everything holds that must for paging, looked at by code of its own, and told to somebody outside."""
