-- Brings an original Vmail-SQL 0.3 database to the state of 0001_tables.sql.
--
-- Run it by 'vmail db upgrade', which looks at all rows first: here, two boxes with
-- one address or a box without its domain stop the file half-way.  No row is
-- changed, columns that somebody added stay, and it may be run again at any time
-- (MariaDB commits each of these statements by itself).
--
-- Original tables may have no keys, keys on prefixes of the columns, any character
-- set and any engine.

CREATE TABLE IF NOT EXISTS domain (
  domain_name VARCHAR(255) NOT NULL, unix_user VARCHAR(255), password_hash VARCHAR(255),
  path VARCHAR(255), max_popbox INT, PRIMARY KEY (domain_name)
);

CREATE TABLE IF NOT EXISTS popbox (
  domain_name VARCHAR(255) NOT NULL, local_part VARCHAR(255) NOT NULL,
  password_hash VARCHAR(255), mbox_name VARCHAR(255)
);

CREATE TABLE IF NOT EXISTS forwarder (
  domain_name VARCHAR(255), local_part VARCHAR(255), remote_name VARCHAR(255)
);

CREATE TABLE IF NOT EXISTS web_session (
  domain_name VARCHAR(255), session_id VARCHAR(32), expires INT
);

-- A run that broke off may have left these; the columns cannot be changed under them.
ALTER TABLE popbox DROP FOREIGN KEY IF EXISTS popbox_of_domain;
ALTER TABLE forwarder DROP FOREIGN KEY IF EXISTS forwarder_of_domain;
ALTER TABLE web_session DROP FOREIGN KEY IF EXISTS web_session_of_domain;

-- The old key goes and the new one comes in one statement: there is no moment without.
ALTER TABLE domain ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
  MODIFY domain_name VARCHAR(255) NOT NULL,
  DROP INDEX IF EXISTS `PRIMARY`, ADD PRIMARY KEY (domain_name);

ALTER TABLE popbox ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
  MODIFY domain_name VARCHAR(255) NOT NULL, MODIFY local_part VARCHAR(255) NOT NULL,
  DROP INDEX IF EXISTS `PRIMARY`, ADD PRIMARY KEY (domain_name, local_part);

ALTER TABLE forwarder ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
  MODIFY domain_name VARCHAR(255) NOT NULL, MODIFY local_part VARCHAR(255) NOT NULL,
  MODIFY remote_name VARCHAR(255) NOT NULL,
  DROP INDEX IF EXISTS `PRIMARY`, ADD PRIMARY KEY (domain_name, local_part, remote_name);

ALTER TABLE web_session ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
  MODIFY domain_name VARCHAR(255) NULL, MODIFY session_id VARCHAR(32) NOT NULL,
  DROP INDEX IF EXISTS `PRIMARY`, ADD PRIMARY KEY (session_id);

ALTER TABLE popbox ADD CONSTRAINT popbox_of_domain
  FOREIGN KEY IF NOT EXISTS (domain_name) REFERENCES domain (domain_name)
  ON UPDATE CASCADE ON DELETE RESTRICT;

ALTER TABLE forwarder ADD CONSTRAINT forwarder_of_domain
  FOREIGN KEY IF NOT EXISTS (domain_name) REFERENCES domain (domain_name)
  ON UPDATE CASCADE ON DELETE RESTRICT;

ALTER TABLE web_session ADD CONSTRAINT web_session_of_domain
  FOREIGN KEY IF NOT EXISTS (domain_name) REFERENCES domain (domain_name)
  ON UPDATE CASCADE ON DELETE CASCADE;

CREATE TABLE IF NOT EXISTS schema_version (
  version INT NOT NULL, name VARCHAR(64) NOT NULL, applied DATETIME NOT NULL,
  PRIMARY KEY (version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

INSERT IGNORE INTO schema_version (version, name, applied) VALUES (1, 'tables', UTC_TIMESTAMP());
