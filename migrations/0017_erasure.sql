-- Erasing a tenant deletes its drafts and its history, which are append-only for everybody else. The audit log stays whole:
-- it holds ids and codes, and nobody's words.

create function refuse_change_unless_erased() returns trigger language plpgsql as $$
begin
    -- Set for one transaction by `postroom-api admin tenant erase`. The application's role has no right to delete here.
    if tg_op = 'DELETE' and old.tenant_id::text = current_setting('postroom.erased_tenant', true) then
        return old;
    end if;
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

drop trigger draft_versions_append_only on draft_versions;
create trigger draft_versions_append_only before update or delete on draft_versions
    for each row execute function refuse_change_unless_erased();
alter table draft_versions enable always trigger draft_versions_append_only;

drop trigger history_entries_append_only on history_entries;
create trigger history_entries_append_only before update or delete on history_entries
    for each row execute function refuse_change_unless_erased();
alter table history_entries enable always trigger history_entries_append_only;
