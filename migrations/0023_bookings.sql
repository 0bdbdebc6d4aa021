-- The approval by which a block is put into its user's calendar. What becomes of the one is what becomes of the other.
alter table schedule_blocks add column approval_id uuid;
alter table schedule_blocks
    add constraint schedule_blocks_approval foreign key (tenant_id, approval_id) references approvals (tenant_id, id) not valid;
alter table schedule_blocks validate constraint schedule_blocks_approval;
create unique index schedule_blocks_booking on schedule_blocks (tenant_id, approval_id) where approval_id is not null;
