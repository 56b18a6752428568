-- A result belongs to its job because the report that writes it holds the job's lock; the foreign key looked the job up
-- and locked it once more for each (docs/decisions/021). A Django app that still lives in this database keeps its key,
-- until `migrate --finish-cut-over`.
DO $$
BEGIN
  IF to_regclass('django_migrations') IS NULL THEN
    ALTER TABLE "ai_result" DROP CONSTRAINT IF EXISTS "ai_result_job_id_63411619_fk_ai_job_id";
  END IF;
END
$$;
