!> Metadata from a simulation: CMF's own Fortran interface, and more, over the C functions in log_metric.h,
!! which says what is guaranteed. Nothing stops the simulation: what goes wrong is said on stderr once.
!!
!! All variables of cmf_type are the same execution, that of this process.
module cmflib
  use, intrinsic :: iso_c_binding, only: c_char, c_int, c_loc, c_null_char, c_ptr, c_size_t
  use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64
  use cmf_rows, only: c_row, c_value, cmf_row
  implicit none
  private
  public :: cmf_row

  type, public :: cmf_type
  contains
    procedure :: initialize, initialized, commit_metrics, finalize
    procedure, private :: log_texts => log_metric  ! the symbol that programs built for CMF's module call
    procedure, private :: log_int32s, log_int64s, log_real32s, log_real64s, log_row
    !> A row of a series: (key, dict_keys(:), dict_values(:)) of one type, or (key, row). Text that is a number
    !! becomes one.
    generic :: log_metric => log_texts, log_int32s, log_int64s, log_real32s, log_real64s, log_row
    procedure :: log_execution_metrics, update_execution, log_dataset, log_model
  end type cmf_type

  interface
    integer(c_int) function c_init(mlmd_path, pipeline_name, context_name, execution_name) bind(c, name='cmf_init')
      import :: c_char, c_int
      character(kind=c_char), intent(in) :: mlmd_path(*), pipeline_name(*), context_name(*), execution_name(*)
    end function c_init

    integer(c_int) function c_initialized() bind(c, name='is_cmf_initialized')
      import :: c_int
    end function c_initialized

    integer(c_int) function c_log_metric(key, dict_keys, dict_values, dict_size) bind(c, name='log_metric')
      import :: c_char, c_int, c_ptr
      character(kind=c_char), intent(in) :: key(*)
      type(c_ptr), intent(in) :: dict_keys(*), dict_values(*)
      integer(c_int), value :: dict_size
    end function c_log_metric

    integer(c_int) function c_commit(metrics_name) bind(c, name='commit_metrics')
      import :: c_char, c_int
      character(kind=c_char), intent(in) :: metrics_name(*)
    end function c_commit

    integer(c_int) function c_finalize() bind(c, name='cmf_finalize')
      import :: c_int
    end function c_finalize

    integer(c_int) function c_log_row(key, values, count) bind(c, name='cmf_log_metric')
      import :: c_char, c_int, c_size_t, c_value
      character(kind=c_char), intent(in) :: key(*)
      type(c_value), intent(in) :: values(*)
      integer(c_size_t), value :: count
    end function c_log_row

    integer(c_int) function c_log_result(values, count) bind(c, name='cmf_log_execution_metrics')
      import :: c_int, c_size_t, c_value
      type(c_value), intent(in) :: values(*)
      integer(c_size_t), value :: count
    end function c_log_result

    integer(c_int) function c_update(values, count) bind(c, name='cmf_update_execution')
      import :: c_int, c_size_t, c_value
      type(c_value), intent(in) :: values(*)
      integer(c_size_t), value :: count
    end function c_update

    integer(c_int) function c_log_dataset(path, event, values, count) bind(c, name='cmf_log_dataset')
      import :: c_char, c_int, c_size_t, c_value
      character(kind=c_char), intent(in) :: path(*), event(*)
      type(c_value), intent(in) :: values(*)
      integer(c_size_t), value :: count
    end function c_log_dataset

    integer(c_int) function c_log_model(path, event, values, count) bind(c, name='cmf_log_model')
      import :: c_char, c_int, c_size_t, c_value
      character(kind=c_char), intent(in) :: path(*), event(*)
      type(c_value), intent(in) :: values(*)
      integer(c_size_t), value :: count
    end function c_log_model
  end interface

contains

  !> Begin an execution of a pipeline's context; nothing where one has begun.
  subroutine initialize(self, mlmd_path, pipeline_name, context_name, execution_name)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: mlmd_path, pipeline_name, context_name, execution_name
    integer(c_int) :: error

    if (self%initialized()) return
    error = c_init(trim(mlmd_path)//c_null_char, trim(pipeline_name)//c_null_char, trim(context_name)//c_null_char, &
      trim(execution_name)//c_null_char)
  end subroutine initialize

  logical function initialized(self)
    class(cmf_type), intent(in) :: self

    initialized = c_initialized() /= 0
  end function initialized

  !> Add a row to the series `key`.
  subroutine log_metric(self, key, dict_keys, dict_values)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: key, dict_keys(:), dict_values(:)
    character(len=len(dict_keys) + 1, kind=c_char), target :: keys(size(dict_keys))
    character(len=len(dict_values) + 1, kind=c_char), target :: values(size(dict_keys))
    type(c_ptr) :: key_addresses(size(dict_keys)), value_addresses(size(dict_keys))
    integer :: i, count
    integer(c_int) :: error

    count = min(size(dict_keys), size(dict_values))
    do i = 1, count
      keys(i) = trim(dict_keys(i))//c_null_char
      values(i) = trim(dict_values(i))//c_null_char
      key_addresses(i) = c_loc(keys(i))
      value_addresses(i) = c_loc(values(i))
    end do
    error = c_log_metric(trim(key)//c_null_char, key_addresses, value_addresses, int(count, c_int))
  end subroutine log_metric

  subroutine log_int32s(self, key, dict_keys, dict_values)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: key, dict_keys(:)
    integer(int32), intent(in) :: dict_values(:)

    call self%log_metric(key, dict_keys, int(dict_values, int64))
  end subroutine log_int32s

  subroutine log_int64s(self, key, dict_keys, dict_values)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: key, dict_keys(:)
    integer(int64), intent(in) :: dict_values(:)
    type(cmf_row) :: row
    integer :: i

    do i = 1, min(size(dict_keys), size(dict_values))
      call row%set(dict_keys(i), dict_values(i))
    end do
    call self%log_metric(key, row)
  end subroutine log_int64s

  subroutine log_real32s(self, key, dict_keys, dict_values)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: key, dict_keys(:)
    real(real32), intent(in) :: dict_values(:)

    call self%log_metric(key, dict_keys, real(dict_values, real64))
  end subroutine log_real32s

  subroutine log_real64s(self, key, dict_keys, dict_values)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: key, dict_keys(:)
    real(real64), intent(in) :: dict_values(:)
    type(cmf_row) :: row
    integer :: i

    do i = 1, min(size(dict_keys), size(dict_values))
      call row%set(dict_keys(i), dict_values(i))
    end do
    call self%log_metric(key, row)
  end subroutine log_real64s

  !> Add a row of any types to the series `key`.
  subroutine log_row(self, key, row)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: key
    type(cmf_row), intent(in) :: row
    type(c_row), target :: values
    integer(c_int) :: error

    call values%point_to(row)
    error = c_log_row(trim(key)//c_null_char, values%values, size(values%values, kind=c_size_t))
  end subroutine log_row

  !> Wait until all that this process has logged is written.
  subroutine commit_metrics(self, metrics_name)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: metrics_name
    integer(c_int) :: error

    error = c_commit(trim(metrics_name)//c_null_char)
  end subroutine commit_metrics

  !> End the execution.
  subroutine finalize(self)
    class(cmf_type), intent(in) :: self
    integer(c_int) :: error

    error = c_finalize()
  end subroutine finalize

  !> Give metrics of the execution as a whole.
  subroutine log_execution_metrics(self, row)
    class(cmf_type), intent(in) :: self
    type(cmf_row), intent(in) :: row
    type(c_row), target :: values
    integer(c_int) :: error

    call values%point_to(row)
    error = c_log_result(values%values, size(values%values, kind=c_size_t))
  end subroutine log_execution_metrics

  !> Add to what distinguishes the execution; a later value of a key replaces the former.
  subroutine update_execution(self, row)
    class(cmf_type), intent(in) :: self
    type(cmf_row), intent(in) :: row
    type(c_row), target :: values
    integer(c_int) :: error

    call values%point_to(row)
    error = c_update(values%values, size(values%values, kind=c_size_t))
  end subroutine update_execution

  !> Say that the execution reads ("input") or has written ("output") a file, which is hashed.
  subroutine log_dataset(self, path, event, properties)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: path, event
    type(cmf_row), intent(in), optional :: properties
    type(c_row), target :: values
    integer(c_int) :: error

    call values%point_to(cmf_row())
    if (present(properties)) call values%point_to(properties)
    error = c_log_dataset(trim(path)//c_null_char, trim(event)//c_null_char, values%values, size(values%values, kind=c_size_t))
  end subroutine log_dataset

  !> The same of a model.
  subroutine log_model(self, path, event, properties)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: path, event
    type(cmf_row), intent(in), optional :: properties
    type(c_row), target :: values
    integer(c_int) :: error

    call values%point_to(cmf_row())
    if (present(properties)) call values%point_to(properties)
    error = c_log_model(trim(path)//c_null_char, trim(event)//c_null_char, values%values, size(values%values, kind=c_size_t))
  end subroutine log_model

end module cmflib
