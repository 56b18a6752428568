-- A result belongs to its job because the report that writes it holds the job's lock; the foreign key looked the job up
-- and locked it once more for each (docs/decisions/021). A Django app that still lives in this database keeps its key,
-- until `migrate --finish-cut-over`.
DO $$
BEGIN
  IF to_regclass('django_migrations') IS NULL THEN
    -- Both tables are needed, and who writes holds one of them and waits for the other: we never do, and try again.
    LOCK TABLE "ai_job" IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE "ai_result" IN ACCESS EXCLUSIVE MODE NOWAIT;
    ALTER TABLE "ai_result" DROP CONSTRAINT IF EXISTS "ai_result_job_id_63411619_fk_ai_job_id";
  END IF;
END
$$;
