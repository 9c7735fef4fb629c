-- Brings a copy of an original Vmail-SQL 0.3 database to the state of 0001_tables.sql.
--
-- Run it by 'vmail db upgrade', which looks at all rows first and refuses tables with
-- columns of somebody else: SQLite cannot add a key to a table, so each one is made
-- anew and filled from the old one, all in one transaction.

CREATE TABLE IF NOT EXISTS domain (domain_name, unix_user, password_hash, path, max_popbox);
CREATE TABLE IF NOT EXISTS popbox (domain_name, local_part, password_hash, mbox_name);
CREATE TABLE IF NOT EXISTS forwarder (domain_name, local_part, remote_name);
CREATE TABLE IF NOT EXISTS web_session (domain_name, session_id, expires);

CREATE TABLE new_domain (
  domain_name   VARCHAR(255) NOT NULL CHECK (length(domain_name) <= 255),
  unix_user     VARCHAR(255) NULL,
  password_hash VARCHAR(255) NULL,
  path          VARCHAR(255) NULL CHECK (length(path) <= 255),
  max_popbox    INT          NULL,
  PRIMARY KEY (domain_name)
);

INSERT INTO new_domain (domain_name, unix_user, password_hash, path, max_popbox)
  SELECT domain_name, unix_user, password_hash, path, max_popbox FROM domain;
DROP TABLE domain;
ALTER TABLE new_domain RENAME TO domain;

CREATE TABLE new_popbox (
  domain_name   VARCHAR(255) NOT NULL,
  local_part    VARCHAR(255) NOT NULL CHECK (length(local_part) <= 255),
  password_hash VARCHAR(255) NULL,
  mbox_name     VARCHAR(255) NULL CHECK (length(mbox_name) <= 255),
  PRIMARY KEY (domain_name, local_part),
  CONSTRAINT popbox_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE RESTRICT
);

INSERT INTO new_popbox (domain_name, local_part, password_hash, mbox_name)
  SELECT domain_name, local_part, password_hash, mbox_name FROM popbox;
DROP TABLE popbox;
ALTER TABLE new_popbox RENAME TO popbox;

CREATE TABLE new_forwarder (
  domain_name   VARCHAR(255) NOT NULL,
  local_part    VARCHAR(255) NOT NULL CHECK (length(local_part) <= 255),
  remote_name   VARCHAR(255) NOT NULL CHECK (length(remote_name) <= 255),
  PRIMARY KEY (domain_name, local_part, remote_name),
  CONSTRAINT forwarder_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE RESTRICT
);

INSERT INTO new_forwarder (domain_name, local_part, remote_name)
  SELECT domain_name, local_part, remote_name FROM forwarder;
DROP TABLE forwarder;
ALTER TABLE new_forwarder RENAME TO forwarder;

CREATE TABLE new_web_session (
  domain_name   VARCHAR(255) NULL,
  session_id    VARCHAR(32)  NOT NULL CHECK (length(session_id) <= 32),
  expires       INT          NULL,
  PRIMARY KEY (session_id),
  CONSTRAINT web_session_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE CASCADE
);

INSERT INTO new_web_session (domain_name, session_id, expires)
  SELECT domain_name, session_id, expires FROM web_session;
DROP TABLE web_session;
ALTER TABLE new_web_session RENAME TO web_session;

CREATE TABLE schema_version (
  version       INT          NOT NULL,
  name          VARCHAR(64)  NOT NULL,
  applied       DATETIME     NOT NULL,
  PRIMARY KEY (version)
);

INSERT INTO schema_version (version, name, applied) VALUES (1, 'tables', datetime('now'));
