-- The directory of virtual mail domains: the four tables of Vmail-SQL 0.3 with keys.
--
--     mariadb virtualemail < 0001_tables.sql        (or: vmail db init)
--
-- An existing Vmail-SQL database is brought to this state by adopt.sql instead.
--
-- Collation: utf8mb4_nopad_bin compares octet by octet.  With the usual collations
-- 'luser ' or 'lúser' would be the box 'luser' to SMTP and POP3 alike.  Names are
-- therefore stored in lower case, domains as A-labels (xn--...).
--
-- Keys: three VARCHAR(255) in utf8mb4 are 3066 octets; InnoDB's limit is 3072 with
-- ROW_FORMAT=DYNAMIC.

CREATE TABLE IF NOT EXISTS domain (
  domain_name   VARCHAR(255) NOT NULL,
  unix_user     VARCHAR(255) NULL,      -- account that owns the mail
  password_hash VARCHAR(255) NULL,      -- administrator of this domain
  path          VARCHAR(255) NULL,      -- directory of the boxes
  max_popbox    INT          NULL,      -- NULL: no limit
  PRIMARY KEY (domain_name)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- A domain that still has boxes or forwarders cannot be deleted by accident (RESTRICT).
CREATE TABLE IF NOT EXISTS popbox (
  domain_name   VARCHAR(255) NOT NULL,
  local_part    VARCHAR(255) NOT NULL,
  password_hash VARCHAR(255) NULL,      -- NULL: nobody can log in
  mbox_name     VARCHAR(255) NULL,      -- file below domain.path; a final slash is a maildir
  PRIMARY KEY (domain_name, local_part),
  CONSTRAINT popbox_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE RESTRICT
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS forwarder (
  domain_name   VARCHAR(255) NOT NULL,
  local_part    VARCHAR(255) NOT NULL,  -- _default_: what nothing else takes
  remote_name   VARCHAR(255) NOT NULL,  -- one row for each target
  PRIMARY KEY (domain_name, local_part, remote_name),
  CONSTRAINT forwarder_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE RESTRICT
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS web_session (
  domain_name   VARCHAR(255) NULL,
  session_id    VARCHAR(32)  NOT NULL,
  expires       INT          NULL,
  PRIMARY KEY (session_id),
  CONSTRAINT web_session_of_domain FOREIGN KEY (domain_name) REFERENCES domain (domain_name)
    ON UPDATE CASCADE ON DELETE CASCADE
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS schema_version (
  version       INT          NOT NULL,  -- number of a file of this folder
  name          VARCHAR(64)  NOT NULL,
  applied       DATETIME     NOT NULL,  -- UTC
  PRIMARY KEY (version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

INSERT IGNORE INTO schema_version (version, name, applied) VALUES (1, 'tables', UTC_TIMESTAMP());
