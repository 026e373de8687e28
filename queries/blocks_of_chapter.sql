-- The diagnoses of one ICD-10-CM chapter, with the block that each belongs to.
select
    diagnosis.id,
    diagnosis.phrase,
    encounter.occurred_at,
    region.name as region,
    code.block
from diagnosis
join encounter on encounter.id = diagnosis.encounter_id
join region on region.id = encounter.region_id
join code on code.code = diagnosis.code
where code.chapter = :chapter
