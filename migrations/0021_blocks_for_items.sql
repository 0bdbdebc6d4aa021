-- What a block is for is there, and is the tenant's own.
alter table schedule_blocks add foreign key (tenant_id, action_item_id) references action_items (tenant_id, id);
