-- The database and its accounts, for an administrator of MariaDB (10.6 or newer):
--
--     mariadb < database.sql
--     mariadb virtualemail < 0001_tables.sql        (or: vmail db init)
--
-- Change the three passwords first.

CREATE DATABASE IF NOT EXISTS virtualemail
  CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The commands VE-domain, VE-popbox, VE-forwarder and VE-passwd.
CREATE USER IF NOT EXISTS 'vmail'@'localhost' IDENTIFIED BY 'change-me-1';
GRANT SELECT, INSERT, UPDATE, DELETE ON virtualemail.* TO 'vmail'@'localhost';

-- 'vmail db init' and 'vmail db upgrade', for those who do not pipe these files by hand.
CREATE USER IF NOT EXISTS 'vmail-schema'@'localhost' IDENTIFIED BY 'change-me-2';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES
  ON virtualemail.* TO 'vmail-schema'@'localhost';

-- The POP3 daemon reads.
CREATE USER IF NOT EXISTS 'pypop3d'@'localhost' IDENTIFIED BY 'change-me-3';
GRANT SELECT ON virtualemail.* TO 'pypop3d'@'localhost';
-- With password-rehash it writes, too; once the tables are there:
--     GRANT UPDATE (password_hash) ON virtualemail.popbox TO 'pypop3d'@'localhost';
