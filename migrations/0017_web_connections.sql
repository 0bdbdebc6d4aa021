-- Calendars and webhooks: connections whose settings are one URL, which is their address, too.
alter table connections drop constraint connections_provider_check;
alter table connections add constraint connections_provider_check check (provider in ('imap_smtp', 'caldav', 'webhook'));
