-- What may have been done and waits to be found out: few, and counted at every scrape.
create index effects_unknown on effects (updated_at) where status in ('unknown', 'reconciling', 'needs_human');
