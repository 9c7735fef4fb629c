-- The directory of virtual mail domains: the four tables of Vmail-SQL 0.3 with keys.
--
--     psql -1 -v ON_ERROR_STOP=1 -f 0001_tables.sql virtualemail        (or: vmail db init)
--
-- Text is compared octet by octet, whatever the collation, as long as that is deterministic.

CREATE TABLE domain (
  domain_name   VARCHAR(255) NOT NULL,
  unix_user     VARCHAR(255) NULL,      -- account that owns the mail
  password_hash VARCHAR(255) NULL,      -- administrator of this domain
  path          VARCHAR(255) NULL,      -- directory of the boxes
  max_popbox    INT          NULL,      -- NULL: no limit
  PRIMARY KEY (domain_name)
);

-- A domain that still has boxes or forwarders cannot be deleted by accident (RESTRICT).
CREATE TABLE popbox (
  domain_name   VARCHAR(255) NOT NULL,
  local_part    VARCHAR(255) NOT NULL,
  password_hash VARCHAR(255) NULL,      -- NULL: nobody can log in
  mbox_name     VARCHAR(255) NULL,      -- file below domain.path, with a final slash if it is a maildir
  PRIMARY KEY (domain_name, local_part),
  CONSTRAINT popbox_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE RESTRICT
);

CREATE TABLE forwarder (
  domain_name   VARCHAR(255) NOT NULL,
  local_part    VARCHAR(255) NOT NULL,  -- _default_ is what nothing else takes
  remote_name   VARCHAR(255) NOT NULL,  -- one row for each target
  PRIMARY KEY (domain_name, local_part, remote_name),
  CONSTRAINT forwarder_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE RESTRICT
);

CREATE TABLE web_session (
  domain_name   VARCHAR(255) NULL,
  session_id    VARCHAR(32)  NOT NULL,
  expires       INT          NULL,
  PRIMARY KEY (session_id),
  CONSTRAINT web_session_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE schema_version (
  version       INT          NOT NULL,  -- number of a file of this folder
  name          VARCHAR(64)  NOT NULL,
  applied       TIMESTAMP    NOT NULL,  -- UTC
  PRIMARY KEY (version)
);

INSERT INTO schema_version (version, name, applied) VALUES (1, 'tables', now() AT TIME ZONE 'UTC');
