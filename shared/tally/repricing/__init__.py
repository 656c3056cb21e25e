"""Pricing stored events again, with the prices in force now."""
