-- The database and its accounts, for an administrator of PostgreSQL (13 or newer):
--
--     psql -f database.sql postgres
--     vmail db init                                 (or 0001_tables.sql, as vmail)
--
-- Change the two passwords first.

-- The commands VE-domain, VE-popbox, VE-forwarder, VE-passwd and vmail; owns the tables.
CREATE ROLE vmail LOGIN PASSWORD 'change-me-1';
CREATE DATABASE virtualemail OWNER vmail ENCODING 'UTF8' TEMPLATE template0;

-- The POP3 daemon reads.
CREATE ROLE pypop3d LOGIN PASSWORD 'change-me-2';
\connect virtualemail
ALTER DEFAULT PRIVILEGES FOR ROLE vmail GRANT SELECT ON TABLES TO pypop3d;
-- With password-rehash it writes, too; once the tables are there:
--     GRANT UPDATE (password_hash) ON popbox TO pypop3d;
