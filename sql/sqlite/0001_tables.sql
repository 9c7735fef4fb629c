-- The directory of virtual mail domains: the four tables of Vmail-SQL 0.3 with keys.
--
--     (echo 'BEGIN;'; cat 0001_tables.sql; echo 'COMMIT;') | sqlite3 -bail vmail.db
--                                                   (or: vmail db init)
--
-- Text is compared octet by octet, SQLite's own way (collation BINARY).  SQLite does
-- not enforce the length of VARCHAR; the CHECKs do, so that every row also fits MariaDB.

CREATE TABLE domain (
  domain_name   VARCHAR(255) NOT NULL CHECK (length(domain_name) <= 255),
  unix_user     VARCHAR(255) NULL,      -- account that owns the mail
  password_hash VARCHAR(255) NULL,      -- administrator of this domain
  path          VARCHAR(255) NULL CHECK (length(path) <= 255),  -- directory of the boxes
  max_popbox    INT          NULL,      -- NULL: no limit
  PRIMARY KEY (domain_name)
);

-- A domain that still has boxes or forwarders cannot be deleted by accident (RESTRICT).
CREATE TABLE popbox (
  domain_name   VARCHAR(255) NOT NULL,
  local_part    VARCHAR(255) NOT NULL CHECK (length(local_part) <= 255),
  password_hash VARCHAR(255) NULL,      -- NULL: nobody can log in
  -- file below domain.path; a final slash is a maildir
  mbox_name     VARCHAR(255) NULL CHECK (length(mbox_name) <= 255),
  PRIMARY KEY (domain_name, local_part),
  CONSTRAINT popbox_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE RESTRICT
);

CREATE TABLE forwarder (
  domain_name   VARCHAR(255) NOT NULL,
  local_part    VARCHAR(255) NOT NULL CHECK (length(local_part) <= 255),   -- _default_: what nothing else takes
  remote_name   VARCHAR(255) NOT NULL CHECK (length(remote_name) <= 255),  -- one row for each target
  PRIMARY KEY (domain_name, local_part, remote_name),
  CONSTRAINT forwarder_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE RESTRICT
);

CREATE TABLE web_session (
  domain_name   VARCHAR(255) NULL,
  session_id    VARCHAR(32)  NOT NULL CHECK (length(session_id) <= 32),
  expires       INT          NULL,
  PRIMARY KEY (session_id),
  CONSTRAINT web_session_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE schema_version (
  version       INT          NOT NULL,  -- number of a file of this folder
  name          VARCHAR(64)  NOT NULL,
  applied       DATETIME     NOT NULL,  -- UTC
  PRIMARY KEY (version)
);

INSERT INTO schema_version (version, name, applied) VALUES (1, 'tables', datetime('now'));
